// SPDX-License-Identifier: MIT
#include "lotformer/data/sampler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/rng.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

Sampler::Sampler(int64_t rows, int64_t batch_size, uint64_t seed)
    : rows_(rows), batch_size_(batch_size), seed_(seed) {
  if (rows < 1 || rows > std::numeric_limits<uint32_t>::max()) {
    throw Error(ErrorKind::usage,
                concat("sampler: a split of ", rows, " rows cannot be sampled (1 to 2^32 - 1 wanted)"));
  }
  if (batch_size < 1)
    throw Error(ErrorKind::usage, concat("sampler: batch size ", batch_size, ", at least 1 wanted"));
}

std::vector<int64_t> Sampler::batch(int64_t step) {
  if (!length_) return rows_at(step * batch_size_, batch_size_);
  prepare_window(step / kWindow);
  const auto begin = window_rows_.begin() + step % kWindow * batch_size_;
  return {begin, begin + batch_size_};
}

std::vector<int64_t> Sampler::rows_at(int64_t position, int64_t count) {
  std::vector<int64_t> result(static_cast<size_t>(count));
  for (int64_t& row : result) {
    row = permutation(position / rows_)[static_cast<size_t>(position % rows_)];
    ++position;
  }
  return result;
}

void Sampler::bucket_by_length(std::function<int64_t(int64_t)> length) {
  length_ = std::move(length);
  window_ = -1;
}

void Sampler::prepare_window(int64_t window) {
  if (window == window_) return;
  std::vector<int64_t> rows = rows_at(window * kWindow * batch_size_, kWindow * batch_size_);
  std::stable_sort(rows.begin(), rows.end(),
                   [this](int64_t a, int64_t b) { return length_(a) < length_(b); });
  constexpr uint64_t kBuckets = 0x6275636B657473;  // another stream than that of the epochs
  const auto seed =
      static_cast<uint32_t>(mix_seeds(mix_seeds(seed_, kBuckets), static_cast<uint64_t>(window)));
  window_rows_.clear();
  for (const uint32_t bucket : mt_permutation(static_cast<uint32_t>(kWindow), seed)) {
    const auto begin = rows.begin() + static_cast<int64_t>(bucket) * batch_size_;
    window_rows_.insert(window_rows_.end(), begin, begin + batch_size_);
  }
  window_ = window;
}

const std::vector<uint32_t>& Sampler::permutation(int64_t epoch) {
  Cached& slot =
      cached_[epoch % 2];  // neighbours live in different slots: a batch that crosses an epoch needs both
  if (slot.epoch != epoch) {
    const auto seed = static_cast<uint32_t>(mix_seeds(seed_, static_cast<uint64_t>(epoch)));
    slot.order = mt_permutation(static_cast<uint32_t>(rows_), seed);
    slot.epoch = epoch;
  }
  return slot.order;
}

}  // namespace lotformer::data
