// SPDX-License-Identifier: MIT
// One split: sequences as bytes in a memory-mapped cache, offsets and labels. Cheap to move, safe to read from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lotformer::data {

class Dataset {
 public:
  struct Impl;
  explicit Dataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  int64_t size() const;
  int64_t sequences() const;                               ///< 1, or 2 for pairs
  int64_t label(int64_t row) const;
  int64_t length(int64_t row, int64_t sequence = 0) const; ///< tokens of the example, after the cut
  /// Stored bytes of a sequence; id = byte + id_offset().
  std::span<const uint8_t> bytes(int64_t row, int64_t sequence = 0) const;
  int64_t id_offset() const;
  int64_t cut_examples() const;                            ///< examples that lost tokens to max_length
  std::string fingerprint() const;                         ///< XXH3-128 of the sources' contents or identity; recorded in results

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lotformer::data
