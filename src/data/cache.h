// SPDX-License-Identifier: MIT
// The memory-mapped cache of one split: tokens, offsets, labels, per-row properties, and last a footer that
// identifies its source.
//
// File, little-endian:  tokens u8[token_bytes], zeros up to a multiple of 8, offsets u64[rows * sequences +
// 1], labels i32[rows], properties u32[rows * properties], zeros up to a multiple of 8, CacheFooter. The
// footer comes last because the tokens are streamed while their source is read; a file cut short therefore
// has none.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/data/dataset.h"

namespace lotformer::data {

inline constexpr size_t kCacheExtras = 32;
inline constexpr uint64_t kCacheLabelsVerified =
    1;  ///< flag: the reader compared every label with its expression

struct CacheFooter {
  std::array<char, 8> magic;
  uint64_t version, rows, sequences, token_bytes, properties, cut_rows, id_offset, flags;
  std::array<uint64_t, kCacheExtras>
      extras;                    ///< the task's own numbers (ListOps: count of each token in the file)
  std::array<char, 32> source;   ///< digest of the source's identity, the options and the reader's version
  std::array<char, 32> content;  ///< digest of everything before the footer
  std::array<char, 32> self;     ///< digest of the footer up to here
};

/// Receives the rows of a split in order and streams them into a cache file.
class CacheBuilder {
 public:
  CacheBuilder(FileWriter& writer, uint64_t sequences, uint64_t properties, uint64_t id_offset);
  /// Adds the next sequence; after the last sequence of a row call end_row.
  void add_sequence(std::span<const uint8_t> tokens);
  void end_row(int32_t label, std::span<const uint32_t> properties, bool cut);
  int64_t rows() const { return static_cast<int64_t>(labels_.size()); }
  void set_extra(size_t index, uint64_t value) { footer_.extras[index] = value; }
  void set_flags(uint64_t flags) { footer_.flags = flags; }
  /// Writes what follows the tokens. `source` is the digest that a later open compares.
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
  std::vector<uint32_t> properties_;
};

/// What Dataset shows: views into a mapped cache file.
struct Dataset::Impl {
  MappedFile file;
  CacheFooter footer{};
  std::span<const uint8_t> tokens;
  std::span<const uint64_t> offsets;
  std::span<const int32_t> labels;
  std::span<const uint32_t> properties;
};

struct CacheRequest {
  std::filesystem::path
      source_directory;     ///< folder of the data files; caches lie in `.lotformer-cache` below it
  std::string name;         ///< file name of the cache
  std::string source;       ///< 32 hex digits
  uint64_t sequences = 1;   ///< per row
  uint64_t properties = 0;  ///< per row
  uint64_t id_offset = 0;   ///< id = stored byte + id_offset
  uint64_t required_flags = 0;
  bool rebuild = false;
  std::function<void(CacheBuilder&)> build;  ///< reads the source; called when no valid cache is there
};

/// Opens the cache, building it first when it is absent, stale or damaged (the log says which).
std::shared_ptr<const Dataset::Impl> open_cache(const CacheRequest& request);

/// The folder for caches of `source_directory`: `.lotformer-cache` below it, or when that cannot be written
/// one below $XDG_CACHE_HOME or the temporary folder (one log line says so). Error(disk) when none can be
/// written.
std::filesystem::path cache_directory(const std::filesystem::path& source_directory);

}  // namespace lotformer::data
