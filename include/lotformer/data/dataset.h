// SPDX-License-Identifier: MIT
// One split: sequences as bytes in a memory-mapped cache, offsets and labels. Cheap to copy, safe to read
// from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace lotformer::data {

class Dataset {
 public:
  struct Impl;
  explicit Dataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  int64_t size() const;
  int64_t sequences() const;  ///< 1, or 2 for pairs
  int64_t label(int64_t row) const;
  /// Tokens of the example as the model sees it: after the cut, with the end token where one is appended.
  int64_t length(int64_t row, int64_t sequence = 0) const;
  /// Stored bytes of a sequence; id = byte + id_offset().
  std::span<const uint8_t> bytes(int64_t row, int64_t sequence = 0) const;
  int64_t id_offset() const;
  int64_t cut_examples() const;  ///< examples that lost tokens to max_length

  /// Numbers that the task's reader notes for each row (ListOps: 0 = tokens before the cut, 1 = depth of the
  /// tree).
  int64_t property(int64_t row, int64_t index) const;

  /// XXH3-128 of ids, lengths, labels and properties: equal for equal examples, wherever and whenever their
  /// files were written.
  std::string fingerprint() const;

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lotformer::data
