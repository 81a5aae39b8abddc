// SPDX-License-Identifier: MIT
// Pivot attention that looks back only, for sequences that come a piece at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// What the tokens so far have left at the pivots.
struct CausalPivotState {
  /// [B, H, r, D]: of each pivot the mean of the values, weighted by exp(score). Undefined: no token yet.
  at::Tensor mean;
  /// [B, H, r]: logarithm of the sum of those weights; kNoMass where there is none.
  at::Tensor log_mass;
};

/// q, k, v [B, H, N, D], float32 or float64; lengths int64 [B], or undefined: every token is real.
struct CausalPivotCall {
  at::Tensor q, k, v;
  /// z [H, r, D].
  at::Tensor pivots;
  /// log sigma [H, r].
  at::Tensor log_masses;
  at::Tensor lengths;
  double epsilon = 0.1;
};

/// [B, H, N, D], differentiable with respect to every tensor but lengths, and to the state it begins with:
///
///   out_i = sum_r a_ir sum_(j <= i) b_rj(i) v_j
///   a_i. = softmax_r (q_i . z_r / (sqrt(D) epsilon) + log sigma_r)
///   b_r.(i) = softmax_(j <= i) (k_j . z_r / (sqrt(D) epsilon))
///
/// Rows of the map sum to 1, columns do not: a marginal of the keys changes with every further token, and
/// with it every plan (docs/causal_pivot.md). At the last token it is LOTFormer's map with no pivot marginal
/// held. No number of the result depends on a later token that is finite, to the bit. O(N r (D +
/// kCausalChunk)) time; for the backward pass it keeps the weights of the pivots and the scores of the keys
/// (2 N r numbers a head) and a state for each kCausalChunk tokens.
///
/// `state`: where the tokens before these have led to, and on return these as well. Pieces give what the
/// whole gives, but for rounding. Padded rows are zero and padded tokens do not come into the state.
at::Tensor causal_pivot_attention(const CausalPivotCall& call, CausalPivotState* state = nullptr);

/// Tokens whose weights are formed at once.
inline constexpr int64_t kCausalChunk = 16;
/// Stands for the logarithm of zero, so that no infinity meets another.
inline constexpr double kNoMass = -1e30;

}  // namespace lotformer::ops
