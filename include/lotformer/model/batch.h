// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer {

/// One batch. S is the number of sequences of an example (2 for retrieval, else 1).
struct Batch {
  at::Tensor ids;        ///< int64 [S, B, N]
  at::Tensor lengths;    ///< int64 [S, B]; undefined: every token is real
  at::Tensor labels;     ///< int64 [B]
  at::Tensor positions;  ///< int64 [S, B, N]; undefined: 0..N-1
};

}  // namespace lotformer
