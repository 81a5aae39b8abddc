// SPDX-License-Identifier: MIT
#include "lotformer/data/sampler.h"

#include <limits>

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
  std::vector<int64_t> result(static_cast<size_t>(batch_size_));
  int64_t position = step * batch_size_;
  for (int64_t& row : result) {
    row = permutation(position / rows_)[static_cast<size_t>(position % rows_)];
    ++position;
  }
  return result;
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
