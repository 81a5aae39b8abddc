// SPDX-License-Identifier: MIT
// One number a token: its inner product with a vector of the head.
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer::ops {

/// x_i . vector of x [B, H, N, D] and vector [H, D], times `scale` -> [B, H, N]; lengths int64 [B] or
/// undefined. Padding gets 0, is not looked at (NaN there changes nothing) and has no gradient. float32 and
/// float64; on a CPU one sweep over x forward and one backward.
at::Tensor token_scores(const at::Tensor& x, const at::Tensor& vector, double scale,
                        const at::Tensor& lengths);

}  // namespace lotformer::ops
