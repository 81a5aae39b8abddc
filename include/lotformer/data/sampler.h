// SPDX-License-Identifier: MIT
// Order of samples as a pure function of (seed, epoch): a resume costs the same wherever it happens.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lotformer::data {

/// Rows of training step `step` (0-based): positions step*batch .. step*batch + batch - 1 of the endless
/// sequence perm(seed, 0), perm(seed, 1), ... of the split's rows. Every batch is full; one that crosses an
/// epoch takes the rest from the next.
class Sampler {
 public:
  Sampler(int64_t rows, int64_t batch_size, uint64_t seed);
  std::vector<int64_t> batch(int64_t step);

  /// Batches of similar lengths: of every kWindow batches in a row the rows are sorted by `length` (of a
  /// row), cut into batches anew, and these shuffled. Which rows an epoch has does not change, and a batch
  /// stays a pure function of (seed, step).
  static constexpr int64_t kWindow = 32;
  void bucket_by_length(std::function<int64_t(int64_t)> length);
  int64_t epoch_of(int64_t step) const { return step * batch_size_ / rows_; }

 private:
  const std::vector<uint32_t>& permutation(int64_t epoch);  // keeps the last two
  std::vector<int64_t> rows_at(int64_t position, int64_t count);
  void prepare_window(int64_t window);
  int64_t rows_, batch_size_;
  uint64_t seed_;
  struct Cached {
    int64_t epoch = -1;
    std::vector<uint32_t> order;
  } cached_[2];
  std::function<int64_t(int64_t)> length_;  // empty: no buckets
  int64_t window_ = -1;
  std::vector<int64_t> window_rows_;
};

}  // namespace lotformer::data
