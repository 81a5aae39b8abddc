// SPDX-License-Identifier: MIT
// Random-feature estimates of softmax attention (Choromanski et al. 2021). q, k, v [B, H, N, D], projection W
// [m, D], float32 or float64; `mask` bool [B, N], true = real token, or undefined. Padded rows of the result
// are zero where a mask is given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// Projection of m rows: blocks of D orthogonal directions (QR of Gaussian matrices), each row with the
/// length of a Gaussian vector of its own, so that every row is distributed like N(0, I_D) while rows of a
/// block do not overlap. Draws from torch's default generator on the CPU; float32 [m, D].
at::Tensor orthogonal_projection(int64_t features, int64_t head_dim);

/// Features exp(h - |x|^2 / 2) with h = x W^T and x the input times D^(-1/4), without the small constant of
/// the published code. Written as two softmaxes, which is the same number and cannot overflow or divide by
/// zero:
///   attention_ij = sum_f a_if b_jf,   b_jf = softmax over tokens j of g_jf, g the keys' exponents,
///   a_if = softmax over features f of (h_if + logsumexp_j g_jf).
/// Every stabiliser is of one (batch, head): no sequence depends on its neighbours. Rows sum to 1.
at::Tensor favor_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& projection, const at::Tensor& mask);

/// The published arithmetic: phi(x) = m^(-1/2) (exp(h - |x|^2 / 2 - c) + 1e-4), c the largest h of a query's
/// own features, and for keys of the whole tensor (real tokens of the batch, all heads); attention_ij =
/// phi(q_i).phi(k_j) / sum_l phi(q_i).phi(k_l).
at::Tensor favor_attention_published(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& projection, const at::Tensor& mask);

/// ReLU features (section 2.2 there, generalised attention): phi(x) = relu(x W^T) + 1e-3 with x the input
/// times D^(-1/4).
at::Tensor relu_feature_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& projection, const at::Tensor& mask);

}  // namespace lotformer::ops
