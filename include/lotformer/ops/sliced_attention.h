// SPDX-License-Identifier: MIT
// Attention by expected sliced transport plans (Shahbazi et al. 2025, "ESPFormer: Doubly-Stochastic Attention
// with Expected Sliced Transport Plans"): a mixture of L one-dimensional plans between sorted queries and
// sorted keys.
//
//   soft permutations  U_l [rank i, token j] = softmax_j(-(t_j - t_(i))^2 / tau) of the values t_j =
//                      x_slices[j, l] sorted descending; V_l likewise from y_slices
//   cost               D_l = sum_ij |x_i - y_j| (U_l^T V_l)_ij
//   out                sum_l w_l U_l^T (V_l v),   w = softmax_l(-inverse_temperature D_l)
//
// Neither plans nor permutations are formed. Algorithm, error bound and gradient: docs/espformer.md.
//
// Common to all functions below, float32 and float64:
//   x, y, v            : [B, H, N, D], v of any width; x_slices, y_slices [B, H, N, L]
//   lengths            : int64 [B] or undefined; only the first lengths[b] tokens take part, the others get
//                      zeros
//   A problem (b, h) whose slice values are not finite returns NaN.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

struct SlicedInputs {
  at::Tensor x, y, v, x_slices, y_slices, lengths;
};

struct SlicedOptions {
  /// > 0, in squared units of the slice values.
  double tau = 1e-3;
  /// 0: the mean over slices, and no costs are computed.
  double inverse_temperature = 0;
  /// Tokens x_i sampled for the costs of a problem, without replacement; 0: all of them.
  int64_t cost_rows = 0;
  /// Of that choice.
  uint64_t seed = 0;
};

/// The soft form. Time O(L N p) for the plans and O(L N cost_rows p) for the costs (p = 12 or 20), memory O(N
/// (D + p)) a thread and O(N (D + L)) kept for the backward pass. Gradients to all five tensors, through
/// sort, costs and weights; with sampled rows the exact gradient of the estimated costs. Problems run in
/// parallel, each on one thread, and results do not depend on the number of threads. Tensors on another
/// device are computed on the CPU and moved back.
at::Tensor sliced_attention(const SlicedInputs& inputs, const SlicedOptions& options);

/// The limit tau -> 0: rank i of y is sent to rank i of x, one-dimensional optimal transport. O(L N (log N +
/// D)) on any device. Ties are broken by position. tau, cost_rows and seed are not used. Gradients of x and y
/// come from the costs alone: the plans are piecewise constant.
at::Tensor sliced_attention_hard(const SlicedInputs& inputs, const SlicedOptions& options);

}  // namespace lotformer::ops
