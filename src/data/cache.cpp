// SPDX-License-Identifier: MIT
#include "data/cache.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <mutex>

#include "data/file_lock.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little,
              "caches are written in the byte order of the machine");
static_assert(sizeof(CacheFooter) == 8 + 8 * 8 + 8 * kCacheExtras + 3 * 32);

constexpr std::array<char, 8> kMagic = {'L', 'O', 'T', 'F', 'D', 'A', 'T', 'A'};
constexpr uint64_t kVersion = 1;

uint64_t padded(uint64_t size) {
  return (size + 7) / 8 * 8;
}

std::array<char, 32> to_array(const std::string& digest) {
  std::array<char, 32> result{};
  std::memcpy(result.data(), digest.data(), std::min(digest.size(), result.size()));
  return result;
}

std::array<char, 32> self_digest(const CacheFooter& footer) {
  return to_array(hash_bytes({reinterpret_cast<const char*>(&footer), offsetof(CacheFooter, self)}));
}

/// Where the sections begin; every number has been compared with the size of the file.
struct Layout {
  uint64_t offsets, labels, properties, footer;
};

/// Empty string and a filled layout, or what is wrong.
std::string check_sizes(const CacheFooter& footer, uint64_t file_size, Layout& layout) {
  const bool plausible = footer.token_bytes <= file_size && footer.rows >= 1 &&
                         footer.rows <= file_size / 4 && footer.sequences >= 1 && footer.sequences <= 2 &&
                         footer.properties <= 16;
  if (!plausible) return "its numbers are out of range";
  layout.offsets = padded(footer.token_bytes);
  layout.labels = layout.offsets + 8 * (footer.rows * footer.sequences + 1);
  layout.properties = layout.labels + 4 * footer.rows;
  layout.footer = padded(layout.properties + 4 * footer.rows * footer.properties);
  if (layout.footer + sizeof(CacheFooter) != file_size) return "its size does not match its numbers";
  return "";
}

/// Digest of the first `size` bytes, through a buffer: a mapping would stay resident.
std::string digest_of_start(std::ifstream& in, uint64_t size) {
  Hasher hasher;
  std::vector<char> buffer(size_t{1} << 20);
  in.seekg(0);
  while (size > 0) {
    const uint64_t piece = std::min<uint64_t>(size, buffer.size());
    if (!in.read(buffer.data(), static_cast<std::streamsize>(piece))) return "";
    hasher.update(buffer.data(), piece);
    size -= piece;
  }
  return hasher.digest();
}

std::string check_footer(std::ifstream& in, uint64_t file_size, const CacheRequest& request,
                         CacheFooter& footer, Layout& layout) {
  if (file_size < sizeof(CacheFooter)) return "it is cut short";
  in.seekg(static_cast<std::streamoff>(file_size - sizeof(CacheFooter)));
  if (!in.read(reinterpret_cast<char*>(&footer), sizeof(CacheFooter))) return "it cannot be read";
  if (footer.magic != kMagic) return "it is damaged or cut short";
  if (footer.version != kVersion) return "another version wrote it";
  if (footer.self != self_digest(footer)) return "the checksum of its footer is wrong";
  if (std::string reason = check_sizes(footer, file_size, layout); !reason.empty()) return reason;
  if (footer.source != to_array(request.source)) return "the data files or the reader have changed";
  if ((footer.flags & request.required_flags) != request.required_flags)
    return "its labels have not been verified";
  return "";
}

std::shared_ptr<const Dataset::Impl> map_cache(const fs::path& path, const CacheFooter& footer,
                                               const Layout& layout) {
  auto impl = std::make_shared<Dataset::Impl>();
  impl->file = MappedFile(path, ErrorKind::data);
  const std::span<const uint8_t> bytes = impl->file.bytes();
  if (bytes.size() != layout.footer + sizeof(CacheFooter)) return nullptr;  // replaced since it was checked
  impl->footer = footer;
  impl->tokens = bytes.first(footer.token_bytes);
  impl->offsets = {reinterpret_cast<const uint64_t*>(bytes.data() + layout.offsets),
                   footer.rows * footer.sequences + 1};
  impl->labels = {reinterpret_cast<const int32_t*>(bytes.data() + layout.labels), footer.rows};
  impl->properties = {reinterpret_cast<const uint32_t*>(bytes.data() + layout.properties),
                      footer.rows * footer.properties};
  for (size_t i = 0; i + 1 < impl->offsets.size(); ++i) {
    if (impl->offsets[i] > impl->offsets[i + 1]) return nullptr;
  }
  return impl->offsets.front() == 0 && impl->offsets.back() == footer.token_bytes ? impl : nullptr;
}

/// The mapped cache; or null with the reason, which is empty when there is no such file.
std::shared_ptr<const Dataset::Impl> try_open(const fs::path& path, const CacheRequest& request,
                                              std::string& reason) {
  reason.clear();
  std::error_code code;
  const uint64_t file_size = fs::file_size(path, code);
  if (code) return nullptr;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    reason = "it cannot be opened";
    return nullptr;
  }
  CacheFooter footer{};
  Layout layout{};
  reason = check_footer(in, file_size, request, footer, layout);
  if (!reason.empty()) return nullptr;
  if (to_array(digest_of_start(in, layout.footer)) != footer.content) {
    reason = "its checksum is wrong";
    return nullptr;
  }
  auto impl = map_cache(path, footer, layout);
  if (!impl) reason = "its offsets are wrong";
  return impl;
}

/// Removes what killed builds left behind. The caller holds the lock, so nobody is writing.
void remove_leftovers(const fs::path& directory) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory, code)) {
    if (entry.path().filename().string().find(".tmp-") == std::string::npos) continue;
    std::error_code ignored;
    fs::remove(entry.path(), ignored);
  }
}

}  // namespace

CacheBuilder::CacheBuilder(FileWriter& writer, uint64_t sequences, uint64_t properties, uint64_t id_offset)
    : writer_(writer) {
  footer_.magic = kMagic;
  footer_.version = kVersion;
  footer_.sequences = sequences;
  footer_.properties = properties;
  footer_.id_offset = id_offset;
}

void CacheBuilder::put(const void* data, size_t size) {
  writer_.write(data, size);
  content_.update(data, size);
  written_ += size;
}

void CacheBuilder::pad() {
  constexpr std::array<char, 8> kZeros{};
  put(kZeros.data(), padded(written_) - written_);
}

void CacheBuilder::add_sequence(std::span<const uint8_t> tokens) {
  put(tokens.data(), tokens.size());
  offsets_.push_back(written_);
}

void CacheBuilder::end_row(int32_t label, std::span<const uint32_t> properties, bool cut) {
  labels_.push_back(label);
  properties_.insert(properties_.end(), properties.begin(), properties.end());
  footer_.cut_rows += cut ? 1 : 0;
}

void CacheBuilder::finish(const std::string& source) {
  footer_.rows = labels_.size();
  footer_.token_bytes = written_;
  pad();
  put(offsets_.data(), offsets_.size() * sizeof(uint64_t));
  put(labels_.data(), labels_.size() * sizeof(int32_t));
  put(properties_.data(), properties_.size() * sizeof(uint32_t));
  pad();
  footer_.source = to_array(source);
  footer_.content = to_array(content_.digest());
  footer_.self = self_digest(footer_);
  writer_.write(&footer_, sizeof(footer_));
}

std::shared_ptr<const Dataset::Impl> open_cache(const CacheRequest& request) {
  std::string reason;
  if (!request.rebuild) {  // a valid cache beside the data serves even where nothing can be written
    if (auto impl = try_open(request.source_directory / ".lotformer-cache" / request.name, request, reason))
      return impl;
  }
  const fs::path directory = cache_directory(request.source_directory);
  const fs::path path = directory / request.name;
  const FileLock lock(directory / "lock", "it prepares " + path.string());
  if (!request.rebuild) {
    if (auto impl = try_open(path, request, reason)) return impl;
    if (!reason.empty())
      log::info(concat("cache ", path.string(), " is not used: ", reason, "; it is made anew"));
  }
  if (lock.held()) remove_leftovers(directory);
  write_atomic(path, [&request](FileWriter& writer) {
    CacheBuilder builder(writer, request.sequences, request.properties, request.id_offset);
    request.build(builder);
    builder.finish(request.source);
  });
  auto impl = try_open(path, request, reason);
  if (!impl)
    throw Error(ErrorKind::disk, concat(path.string(), ": was just written and cannot be used: ", reason));
  return impl;
}

}  // namespace lotformer::data
