// SPDX-License-Identifier: MIT
// Sizes and a batch that the model's tests share.
#pragma once

#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <torch/utils.h>

#include "lotformer/model/classifier.h"

namespace lotformer::test {

inline constexpr int64_t kVocabulary = 11, kMaxLength = 40, kClasses = 3;

/// Three examples of `sequences` rows of random ids: the whole length, one token, half the length.
inline Batch make_batch(int64_t tokens, int64_t sequences = 1) {
  torch::manual_seed(5);
  Batch batch;
  batch.ids = at::randint(1, kVocabulary, {sequences, 3, tokens}, at::kLong);
  batch.lengths = at::tensor({tokens, int64_t{1}, tokens / 2}, at::kLong).unsqueeze(0).repeat({sequences, 1});
  batch.labels = at::tensor({0, 1, 2}, at::kLong);
  return batch;
}

}  // namespace lotformer::test
