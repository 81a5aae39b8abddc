// SPDX-License-Identifier: MIT
// Softmax attention with dropout on its weights, in bounded memory, for the CPU: its fused
// scaled_dot_product_attention refuses dropout and the unfused one keeps several tensors [B, H, N, N] (a
// gigabyte each at B = 32, H = 2, N = 2000).
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer::ops {

/// dropout(softmax(q k^T / sqrt(D))) v over the real keys of each sequence; weights are kept with probability
/// 1 - dropout and divided by it.
///   q, k, v : [B, H, N, D] on the CPU; lengths int64 [B] or undefined
///   padded_queries : compute padded rows like any other (keys of an empty sequence: all); else they are zero
///   and cost nothing
/// Blocks of query rows are computed one after the other, and again in the backward pass: extra memory is a
/// few blocks of at most 1 MiB. The random numbers are a function of one draw from the default CPU
/// generator, not of padding or thread count.
at::Tensor softmax_attention_with_dropout(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const at::Tensor& lengths, bool padded_queries, double dropout);

}  // namespace lotformer::ops
