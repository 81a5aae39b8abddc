// SPDX-License-Identifier: MIT
// One-dimensional Gauss transform, the tool of sliced attention: sums over all pairs of N points in O(N p)
// time and memory. Algorithm, error bound and its proof: docs/espformer.md.
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer::ops {

/// out_i = sum_j exp(-(t_i - t_j)^2 / tau) a_j   for points t [N], values a [N, C]; returns [N, C].
///   dtype  : float32 or float64, the same for both; CPU; points finite and in any order; tau > 0
///   error  : at most 2e-7 (float32) or 2e-14 (float64) times sum_j |a_j|, besides rounding
///   Not differentiable by itself; sliced_attention brings its own gradient. Error(usage) for other inputs.
at::Tensor gauss_transform(const at::Tensor& points, const at::Tensor& values, double tau);

/// out_i = d/dt_i of the above with the t_j held: -2/tau sum_j (t_i - t_j) exp(-(t_i - t_j)^2 / tau) a_j.
/// Error bound: the above times 10 / sqrt(tau).
at::Tensor gauss_transform_derivative(const at::Tensor& points, const at::Tensor& values, double tau);

}  // namespace lotformer::ops
