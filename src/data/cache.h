// SPDX-License-Identifier: MIT
// The memory-mapped cache of a set of rows: sequences as bytes, labels, per-row properties, and last a footer
// that identifies its source.
//
// File, little-endian: documents u8[token_bytes], zeros up to a multiple of 8, offsets u64[documents + 1]
// (absent when every document has row_bytes bytes), labels i32[rows], index u32[rows * sequences] (absent
// when sequence s of row r is document r * sequences + s), properties u32[rows * properties], zeros up to a
// multiple of 8, CacheFooter. The footer comes last because the documents are streamed while their source is
// read; a file cut short therefore has none.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/data/dataset.h"

namespace lotformer::data {

inline constexpr size_t kCacheExtras = 256;
/// Flag: the reader compared every label with its expression.
inline constexpr uint64_t kCacheLabelsVerified = 1;

struct CacheFooter {
  std::array<char, 8> magic;
  uint64_t version, rows, sequences, documents, token_bytes, row_bytes, indexed, properties, cut_rows,
      id_offset, flags;
  /// The task's own numbers (ListOps: count of each token in the file).
  std::array<uint64_t, kCacheExtras> extras;
  /// Digest of the source's identity, the options and the reader's version.
  std::array<char, 32> source;
  /// Digest of everything before the footer.
  std::array<char, 32> content;
  /// Digest of the footer up to here.
  std::array<char, 32> self;
};

/// What the rows of a cache look like.
struct CacheShape {
  /// Per row.
  uint64_t sequences = 1;
  /// Per row.
  uint64_t properties = 0;
  /// Id = stored byte + id_offset.
  uint64_t id_offset = 0;
  /// Of every document; 0: they differ, and offsets are stored.
  uint64_t row_bytes = 0;
  /// Rows name their documents, which several rows may share.
  bool indexed = false;
};

/// Receives the rows of a split in order and streams them into a cache file.
class CacheBuilder {
 public:
  CacheBuilder(FileWriter& writer, const CacheShape& shape);
  /// Adds a document and returns its number. Without an index: the next sequence of the row at hand.
  uint32_t add_document(std::span<const uint8_t> tokens);
  /// With an index: the next sequence of the row at hand is this document.
  void use_document(uint32_t document) { index_.push_back(document); }
  /// After the last sequence of a row.
  void end_row(int32_t label, std::span<const uint32_t> properties, bool cut);
  int64_t rows() const { return static_cast<int64_t>(labels_.size()); }
  /// Replaces a property of a row that has ended.
  void set_property(int64_t row, uint64_t property, uint32_t value);
  void set_extra(size_t index, uint64_t value) { footer_.extras[index] = value; }
  void set_flags(uint64_t flags) { footer_.flags = flags; }
  /// Writes what follows the documents. `source` is the digest that a later open compares.
  void finish(const std::string& source);

 private:
  void put(const void* data, size_t size);
  void pad();
  FileWriter& writer_;
  Hasher content_;
  CacheFooter footer_{};
  uint64_t written_ = 0;
  std::vector<uint64_t> offsets_{0};
  std::vector<int32_t> labels_;
  std::vector<uint32_t> index_, properties_;
};

/// A mapped cache file; the views point into the mapping.
struct Cache {
  MappedFile file;
  CacheFooter footer{};
  std::span<const uint8_t> documents;
  std::span<const uint64_t> offsets;
  std::span<const int32_t> labels;
  std::span<const uint32_t> index, properties;

  /// Number of the document that is sequence `sequence` of row `row`.
  uint64_t document_of(uint64_t row, uint64_t sequence) const {
    const uint64_t place = row * footer.sequences + sequence;
    return footer.indexed != 0 ? index[place] : place;
  }
  /// Where a document begins in `documents`.
  uint64_t begin_of(uint64_t document) const {
    return footer.row_bytes != 0 ? document * footer.row_bytes : offsets[document];
  }
};

/// What the numbers of a valid cache lie within. A program uses them as indices and sizes.
struct CacheLimits {
  /// Labels are 0 .. classes - 1.
  int64_t classes = 0;
  /// Tokens of a document, where they differ.
  uint64_t longest = 0;
  /// Number of ids; 0 when the footer's own numbers (a character table) are wrong.
  std::function<uint64_t(const CacheFooter&)> vocabulary;
  /// Property 0 counts bytes of the row's document.
  bool ink = false;
  /// This property is a permutation of the rows.
  std::optional<uint64_t> rank{};
};

/// The vocabulary of a task that always has the same.
inline std::function<uint64_t(const CacheFooter&)> fixed_vocabulary(int64_t ids) {
  return [ids](const CacheFooter&) { return static_cast<uint64_t>(ids); };
}

struct CacheRequest {
  /// Folder of the data files; caches lie in `.lotformer-cache` below it.
  std::filesystem::path source_directory;
  /// File name of the cache.
  std::string name;
  /// 32 hex digits.
  std::string source;
  CacheShape shape;
  CacheLimits limits;
  uint64_t required_flags = 0;
  bool rebuild = false;
  /// Called before `build`: DataError when the source is not what its record says.
  std::function<void()> verify = nullptr;
  /// Reads the source; called when no valid cache is there.
  std::function<void(CacheBuilder&)> build;
};

/// The cache at `path` when it is whole and what `request` asks for; else null with the reason, which is
/// empty when there is no such file. Believes no number in it.
std::shared_ptr<const Cache> read_cache(const std::filesystem::path& path, const CacheRequest& request,
                                        std::string& reason);

/// Opens the cache, building it first when it is absent, stale or damaged (the log says which).
std::shared_ptr<const Cache> open_cache(const CacheRequest& request);

/// What Dataset shows: rows of a cache.
struct Dataset::Impl {
  std::shared_ptr<const Cache> cache;
  /// Every row in the order of the cache.
  bool whole = true;
  /// Else these.
  std::vector<uint32_t> rows;
  int64_t cut_rows = 0;
  /// Property 0 of a row is its count of bytes that are not zero.
  bool mask_zeros = false;
  std::string fingerprint;
};

/// All rows of the cache in its order.
Dataset all_rows(std::shared_ptr<const Cache> cache);
/// Rows of the cache, of which `cut_rows` lost tokens.
Dataset some_rows(std::shared_ptr<const Cache> cache, std::vector<uint32_t> rows, int64_t cut_rows);
/// The same rows, of which zero bytes count as padding. Property 0 must be the count of the others.
Dataset with_masked_zeros(const Dataset& dataset);

/// The folder for caches of `source_directory`: `.lotformer-cache` below it, or when that cannot be written
/// one below $XDG_CACHE_HOME or the temporary folder (one log line says so). Error(disk) when none can be
/// written.
std::filesystem::path cache_directory(const std::filesystem::path& source_directory);
/// The folders that it takes the first possible one of; nothing is made.
std::vector<std::filesystem::path> cache_places(const std::filesystem::path& source_directory);

}  // namespace lotformer::data
