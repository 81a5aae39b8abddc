// SPDX-License-Identifier: MIT
#include "data/cache.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <mutex>

#include "data/cache_contents.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/log.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little,
              "caches are written in the byte order of the machine");
static_assert(sizeof(CacheFooter) == 8 + 11 * 8 + 8 * kCacheExtras + 3 * 32);

constexpr std::array<char, 8> kMagic = {'L', 'O', 'T', 'F', 'D', 'A', 'T', 'A'};
constexpr uint64_t kVersion = 2;

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
  uint64_t offsets, labels, index, properties, footer;
};

/// Whether numbers that come from a file are small enough to be multiplied.
bool is_plausible(const CacheFooter& footer, uint64_t file_size) {
  if (footer.token_bytes > file_size || footer.rows < 1 || footer.rows > file_size / 4) return false;
  if (footer.sequences < 1 || footer.sequences > 2 || footer.properties > 16) return false;
  const uint64_t sequences = footer.rows * footer.sequences;
  if (footer.cut_rows > footer.rows) return false;
  if (footer.documents < 1 || footer.documents > sequences || footer.indexed > 1) return false;
  if (footer.indexed == 0 && footer.documents != sequences) return false;
  return footer.row_bytes == 0 || (footer.token_bytes % footer.row_bytes == 0 &&
                                   footer.token_bytes / footer.row_bytes == footer.documents);
}

/// Empty string and a filled layout, or what is wrong.
std::string check_sizes(const CacheFooter& footer, uint64_t file_size, Layout& layout) {
  if (!is_plausible(footer, file_size)) return "its numbers are out of range";
  layout.offsets = padded(footer.token_bytes);
  layout.labels = layout.offsets + (footer.row_bytes == 0 ? 8 * (footer.documents + 1) : 0);
  layout.index = layout.labels + 4 * footer.rows;
  layout.properties = layout.index + (footer.indexed != 0 ? 4 * footer.rows * footer.sequences : 0);
  layout.footer = padded(layout.properties + 4 * footer.rows * footer.properties);
  if (layout.footer + sizeof(CacheFooter) != file_size) return "its size does not match its numbers";
  return "";
}

/// Digest of the first `size` bytes, through a buffer: a mapping would stay resident. `largest` becomes the
/// largest of the first `documents` bytes.
std::string digest_of_start(std::ifstream& in, uint64_t size, const std::string& name, uint64_t documents,
                            uint8_t& largest) {
  Hasher hasher;
  std::vector<char> buffer(size_t{1} << 20);
  Progress progress("checking the cache " + name, static_cast<int64_t>(size), "bytes");
  const uint64_t all = size;
  in.seekg(0);
  while (size > 0) {
    const uint64_t piece = std::min<uint64_t>(size, buffer.size());
    if (!in.read(buffer.data(), static_cast<std::streamsize>(piece))) return "";
    hasher.update(buffer.data(), piece);
    size -= piece;
    for (uint64_t i = 0; i < std::min(piece, documents); ++i)
      largest = std::max(largest, static_cast<uint8_t>(buffer[i]));
    documents -= std::min(piece, documents);
    progress.update(static_cast<int64_t>(all - size));
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
  const CacheShape& shape = request.shape;
  if (footer.sequences != shape.sequences || footer.properties != shape.properties ||
      footer.id_offset != shape.id_offset || footer.row_bytes != shape.row_bytes ||
      footer.indexed != (shape.indexed ? 1 : 0))
    return "its rows have another shape";
  return "";
}

std::shared_ptr<const Cache> map_cache(const fs::path& path, const CacheFooter& footer,
                                       const Layout& layout) {
  auto cache = std::make_shared<Cache>();
  cache->file = MappedFile(path, ErrorKind::data);
  const std::span<const uint8_t> bytes = cache->file.bytes();
  if (bytes.size() != layout.footer + sizeof(CacheFooter)) return nullptr;  // replaced since it was checked
  cache->footer = footer;
  cache->documents = bytes.first(footer.token_bytes);
  if (footer.row_bytes == 0)
    cache->offsets = {reinterpret_cast<const uint64_t*>(bytes.data() + layout.offsets), footer.documents + 1};
  cache->labels = {reinterpret_cast<const int32_t*>(bytes.data() + layout.labels), footer.rows};
  if (footer.indexed != 0)
    cache->index = {reinterpret_cast<const uint32_t*>(bytes.data() + layout.index),
                    footer.rows * footer.sequences};
  cache->properties = {reinterpret_cast<const uint32_t*>(bytes.data() + layout.properties),
                       footer.rows * footer.properties};
  return cache;
}

}  // namespace

std::shared_ptr<const Cache> read_cache(const fs::path& path, const CacheRequest& request,
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
  const uint64_t documents = limited_bytes(footer, request.limits) ? footer.token_bytes : 0;
  uint8_t largest = 0;
  if (to_array(digest_of_start(in, layout.footer, path.filename().string(), documents, largest)) !=
      footer.content) {
    reason = "its checksum is wrong";
    return nullptr;
  }
  auto cache = map_cache(path, footer, layout);
  reason = cache ? contents_problem(*cache, largest, request.limits) : "it was replaced meanwhile";
  return reason.empty() ? cache : nullptr;
}

namespace {

/// Removes what killed builds left behind. The caller holds the lock, so nobody is writing.
void remove_leftovers(const fs::path& directory) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(directory, code)) {
    if (entry.path().filename().string().find(".tmp-") == std::string::npos) continue;
    std::error_code ignored;
    fs::remove(entry.path(), ignored);
  }
}

/// Nothing can be put in the place of a folder.
void require_no_folder(const fs::path& path) {
  std::error_code code;
  if (fs::symlink_status(path, code).type() == fs::file_type::directory)
    throw Error(ErrorKind::disk, concat(path.string(), ": a folder lies where a cache belongs; remove it"));
}

}  // namespace

CacheBuilder::CacheBuilder(FileWriter& writer, const CacheShape& shape) : writer_(writer) {
  footer_.magic = kMagic;
  footer_.version = kVersion;
  footer_.sequences = shape.sequences;
  footer_.properties = shape.properties;
  footer_.id_offset = shape.id_offset;
  footer_.row_bytes = shape.row_bytes;
  footer_.indexed = shape.indexed ? 1 : 0;
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

uint32_t CacheBuilder::add_document(std::span<const uint8_t> tokens) {
  if (footer_.documents == UINT32_MAX || (footer_.row_bytes != 0 && tokens.size() != footer_.row_bytes))
    throw Error(ErrorKind::internal, "cache: a document that its shape does not allow");
  put(tokens.data(), tokens.size());
  if (footer_.row_bytes == 0) offsets_.push_back(written_);
  return static_cast<uint32_t>(footer_.documents++);
}

void CacheBuilder::set_property(int64_t row, uint64_t property, uint32_t value) {
  properties_[static_cast<size_t>(row) * footer_.properties + property] = value;
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
  if (footer_.row_bytes == 0) put(offsets_.data(), offsets_.size() * sizeof(uint64_t));
  put(labels_.data(), labels_.size() * sizeof(int32_t));
  put(index_.data(), index_.size() * sizeof(uint32_t));
  put(properties_.data(), properties_.size() * sizeof(uint32_t));
  pad();
  footer_.source = to_array(source);
  footer_.content = to_array(content_.digest());
  footer_.self = self_digest(footer_);
  writer_.write(&footer_, sizeof(footer_));
}

std::shared_ptr<const Cache> open_cache(const CacheRequest& request) {
  std::string reason;
  const fs::path beside_data = request.source_directory / ".lotformer-cache" / request.name;
  if (!request.rebuild) {  // a valid cache beside the data serves even where nothing can be written
    if (auto cache = read_cache(beside_data, request, reason)) return cache;
  }
  const fs::path directory = cache_directory(request.source_directory);
  const fs::path path = directory / request.name;
  if (path != beside_data && !reason.empty())
    log::info(
        concat("cache ", beside_data.string(), " is not used: ", reason, "; it cannot be replaced there"));
  require_no_folder(path);
  const FileLock lock = FileLock::wait(directory / "lock", "it prepares " + path.string());
  if (!request.rebuild) {
    if (auto cache = read_cache(path, request, reason)) return cache;
    if (!reason.empty())
      log::info(concat("cache ", path.string(), " is not used: ", reason, "; it is made anew"));
  }
  if (lock.held()) remove_leftovers(directory);
  if (request.verify) request.verify();
  write_atomic(path, [&request](FileWriter& writer) {
    CacheBuilder builder(writer, request.shape);
    request.build(builder);
    builder.finish(request.source);
  });
  auto cache = read_cache(path, request, reason);
  if (!cache)
    throw Error(ErrorKind::disk, concat(path.string(), ": was just written and cannot be used: ", reason));
  return cache;
}

}  // namespace lotformer::data
