// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer {

/// One batch. S is the number of sequences of an example (2 for retrieval, else 1).
struct Batch {
  /// int64 [S, B, N].
  at::Tensor ids;
  /// int64 [S, B]; undefined: every token is real.
  at::Tensor lengths;
  /// int64 [B].
  at::Tensor labels;
  /// int64 [S, B, N]; undefined: 0..N-1.
  at::Tensor positions;
  /// Rows that the real tokens get, at least as many as there are; 0: the model lays them out by the lengths.
  /// It is what a batch on a device has instead of lengths that the host could read.
  int64_t token_slots = 0;
};

}  // namespace lotformer
