// SPDX-License-Identifier: MIT
// One split: rows of a memory-mapped cache, that is sequences as bytes, and labels. Cheap to copy, safe to
// read from several threads.
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
  const Impl& impl() const { return *impl_; }

  int64_t size() const;
  /// 1, or 2 for pairs.
  int64_t sequences() const;
  int64_t label(int64_t row) const;
  /// Tokens of the example as the model sees it: after the cut, with the end token where one is appended;
  /// where zeros are masked the bytes that are not zero, or 1 when all are.
  int64_t length(int64_t row, int64_t sequence = 0) const;
  /// Stored bytes of a sequence; id = byte + id_offset().
  std::span<const uint8_t> bytes(int64_t row, int64_t sequence = 0) const;
  int64_t id_offset() const;
  /// `mask_zero_pixels`: zero bytes are padding. The batcher moves the others to the front and keeps their
  /// places.
  bool masks_zeros() const;
  /// Bytes that every sequence has, or 0 when they differ.
  int64_t fixed_bytes() const;
  /// All sequences, of other splits and other rows too, and where one begins: for copies to a device.
  std::span<const uint8_t> storage() const;
  int64_t begin(int64_t row, int64_t sequence = 0) const;
  /// Examples that lost tokens to max_length.
  int64_t cut_examples() const;

  /// Numbers that the task's reader notes for each row. ListOps: 0 = tokens before the cut, 1 = depth of the
  /// tree. Text: 0 = bytes or characters before the cut; retrieval the same for both documents (0, 1).
  /// Image: 0 = pixels that are not black, 1 = record in the order of the files. Pathfinder: 0 = pixels that
  /// are not black, 1 = place in the order of `split: tfds`, 2 = number of the metadata file, 3 = line there.
  int64_t property(int64_t row, int64_t index) const;

  /// XXH3-128 of ids, lengths, labels and properties: equal for equal examples, wherever and whenever their
  /// files were written.
  std::string fingerprint() const;

 private:
  uint64_t cache_row(int64_t row) const;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lotformer::data
