// SPDX-License-Identifier: MIT
// The [B, H, ...] tensors of a call as P = B H problems.
#pragma once

#include <ATen/core/Tensor.h>

#include "solver.h"

namespace lotformer::ops {

/// x [B, H, ...] -> [P, ...]
at::Tensor flatten_heads(const at::Tensor& x);
/// x [H, ...], shared by the batch -> [P, ...]
at::Tensor repeat_for_batch(const at::Tensor& x, int64_t batch);
/// x [B, H, r, N] with zeros at padded tokens.
at::Tensor select_real_columns(const at::Tensor& x, const at::Tensor& mask);
/// Token marginals of P problems from `mask` [B, N] (no sequence without a real token) or an undefined one.
TokenMarginal token_marginal(const at::Tensor& mask, const at::Tensor& q);
/// Both sides of P problems as 2 P problems, queries first, each side with its own masses where it has some
/// ([P, N]).
TokenMarginal both_marginals(const TokenMarginal& tokens, const at::Tensor& query_masses,
                             const at::Tensor& key_masses);
/// The marginal of one side: `tokens` with its masses [P, N] or undefined.
TokenMarginal side_marginal(const TokenMarginal& tokens, const at::Tensor& masses);

}  // namespace lotformer::ops
