// SPDX-License-Identifier: MIT
// The mapped cache. Digests guard its numbers against accidents, and would keep a fuzzer from everything
// behind them: where the first byte is odd they are put right first.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "data/cache.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "targets.h"

namespace lotformer::fuzz {
namespace fs = std::filesystem;
namespace {

/// A folder of this process in memory, where there is such a place.
const fs::path& folder() {
  static const fs::path path = [] {
    const fs::path base = fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
    fs::path result = base / concat("lotformer-fuzz-", ::getpid());
    fs::create_directories(result / ".lotformer-cache");
    std::atexit([] { fs::remove_all(folder()); });
    return result;
  }();
  return path;
}

std::array<char, 32> as_array(const std::string& digest) {
  std::array<char, 32> result{};
  std::copy_n(digest.begin(), std::min(digest.size(), result.size()), result.begin());
  return result;
}

void mend(std::vector<uint8_t>& file, data::CacheFooter& footer) {
  const size_t start = file.size() - sizeof footer;
  const auto* text = reinterpret_cast<const char*>(file.data());
  footer.content = as_array(hash_bytes({text, start}));
  footer.self =
      as_array(hash_bytes({reinterpret_cast<const char*>(&footer), offsetof(data::CacheFooter, self)}));
  std::memcpy(file.data() + start, &footer, sizeof footer);
}

constexpr int64_t kClasses = 10;
constexpr uint64_t kIds = 17;  // beyond the offset

/// Looks at everything that a reader of rows may look at, and uses it as programs do: labels, ids and ranks
/// are indices, the number of pixels is a size.
uint64_t read_all(const data::Dataset& dataset, const data::CacheFooter& footer,
                  const data::CacheLimits& limits) {
  uint64_t sum = 0;
  const uint64_t ids = limits.vocabulary(footer);
  std::vector<uint64_t> by_label(kClasses), by_id(ids), order(footer.rows);
  for (int64_t row = 0; row < dataset.size(); ++row) {
    demand(dataset.label(row) >= 0 && dataset.label(row) < kClasses);
    ++by_label[static_cast<size_t>(dataset.label(row))];
    if (limits.rank) {
      const auto rank = static_cast<uint64_t>(dataset.property(row, static_cast<int64_t>(*limits.rank)));
      demand(rank < footer.rows && order[rank]++ == 0);
    }
    if (limits.ink) demand(static_cast<uint64_t>(dataset.property(row, 0)) <= footer.row_bytes);
    for (uint64_t i = 0; i < footer.properties; ++i)
      sum += static_cast<uint64_t>(dataset.property(row, static_cast<int64_t>(i)));
    for (int64_t sequence = 0; sequence < dataset.sequences(); ++sequence) {
      demand(!dataset.bytes(row, sequence).empty());
      for (const uint8_t byte : dataset.bytes(row, sequence)) {
        demand(byte + footer.id_offset < ids);
        sum += ++by_id[byte + footer.id_offset];
      }
    }
  }
  return sum + by_label.front();
}

}  // namespace

void cache_header(std::span<const uint8_t> bytes) {
  static const bool quiet = (log::set_level(log::Level::error), true);
  if (!quiet || bytes.empty()) return;
  std::vector<uint8_t> file(bytes.begin() + 1, bytes.end());
  data::CacheRequest request;
  data::CacheFooter footer{};
  if (file.size() >= sizeof footer) {  // ask for what the file says, or it is refused at once
    std::memcpy(&footer, file.data() + file.size() - sizeof footer, sizeof footer);
    request.shape = {footer.sequences, footer.properties, footer.id_offset, footer.row_bytes,
                     footer.indexed == 1};
    if ((bytes[0] & 1U) != 0) mend(file, footer);
  }
  // Which promises the rows make besides: bit 1 a rank, bit 2 a count of pixels, bit 3 that bytes are ids of
  // ListOps.
  const bool every_byte = (bytes[0] & 8U) == 0;
  request.limits = {.classes = kClasses, .longest = 2000, .vocabulary = [every_byte](const auto& found) {
                      return std::min<uint64_t>(found.id_offset, 1) + (every_byte ? 256 : kIds);
                    }};
  if ((bytes[0] & 2U) != 0 && footer.properties > 1) request.limits.rank = 1;
  request.limits.ink = (bytes[0] & 4U) != 0 && footer.properties > 0 && footer.row_bytes > 0;
  request.source = std::string(footer.source.data(), footer.source.size());
  request.source_directory = folder();
  request.name = "fuzz.cache";
  request.build = [](data::CacheBuilder&) { throw Error(ErrorKind::data, "refused"); };
  FileWriter writer(folder() / ".lotformer-cache" / request.name);
  writer.write(file.data(), file.size());
  writer.flush();
  try {
    const auto cache = data::open_cache(request);
    // Rows without documents would be read by nobody; their number is bounded by the file's size all the
    // same.
    volatile uint64_t sum = read_all(data::all_rows(cache), cache->footer, request.limits);
    static_cast<void>(sum);
  } catch (const Error& error) {
    if (error.exit_code() != static_cast<int>(ErrorKind::data)) throw;
  }
}

}  // namespace lotformer::fuzz
