// SPDX-License-Identifier: MIT
#include "lotformer/ops/random_features.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lotformer/ops/lengths.h"

namespace lotformer::ops {
namespace {

constexpr double kKernelEpsilon = 1e-4;  // added to softmax features by the published code
constexpr double kReluEpsilon = 1e-3;    // to ReLU features

at::Tensor quarter_scaled(const at::Tensor& x) {
  return x * std::pow(static_cast<double>(x.size(-1)), -0.25);
}

at::Tensor projected(const at::Tensor& x, const at::Tensor& projection) {
  return at::matmul(x, projection.to(x.scalar_type()).t());  // [B, H, N, m]
}

at::Tensor half_square(const at::Tensor& x) {
  return x.square().sum(-1, /*keepdim=*/true) / 2;
}

/// phi_q (phi_k^T v) / (phi_q . sum_j phi_k_j)
at::Tensor normalised(const at::Tensor& phi_q, const at::Tensor& phi_k, const at::Tensor& v) {
  const at::Tensor summary = at::matmul(phi_k.transpose(-2, -1), v);        // [B, H, m, D]
  const at::Tensor total = at::matmul(phi_q, phi_k.sum(-2).unsqueeze(-1));  // [B, H, N, 1]
  return at::matmul(phi_q, summary) / total;
}

at::Tensor of_tokens(const at::Tensor& mask) {  // [B, N] -> [B, 1, N, 1]
  return mask.unsqueeze(1).unsqueeze(-1);
}

}  // namespace

at::Tensor orthogonal_projection(int64_t features, int64_t head_dim) {
  std::vector<at::Tensor> blocks;
  for (int64_t row = 0; row < features; row += head_dim) {
    const auto [q, r] = at::linalg_qr(at::randn({head_dim, head_dim}, at::kDouble));
    // LAPACK's Householder signs are not random; with diag(R) > 0 the directions are uniform on the sphere
    // (Mezzadri 2007), without, the mean of the rows is not zero and the estimate of the kernel is biased.
    blocks.push_back((q * r.diagonal().sign()).t().narrow(0, 0, std::min(head_dim, features - row)));
  }
  const at::Tensor lengths = at::randn({features, head_dim}, at::kDouble).norm(2, {1}, /*keepdim=*/true);
  return (at::cat(blocks) * lengths).to(at::kFloat);
}

at::Tensor favor_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& projection, const at::Tensor& mask) {
  if (q.size(2) == 0) return v.clone();
  const at::Tensor keys = quarter_scaled(select_real_tokens(k, mask));
  at::Tensor g = projected(keys, projection) - half_square(keys);
  if (mask.defined()) {
    // A sequence without a token keeps its (zero) rows: a softmax over nothing is NaN.
    g = g.masked_fill(of_tokens(fill_empty_sequences(mask)).logical_not(),
                      -std::numeric_limits<double>::infinity());
  }
  const at::Tensor bias = at::logsumexp(g, {-2}, /*keepdim=*/true);  // [B, H, 1, m]
  const at::Tensor summary = at::matmul(at::softmax(g, -2).transpose(-2, -1), select_real_tokens(v, mask));
  // |q|^2 is the same for all features of a row: the softmax takes it away.
  const at::Tensor h = projected(quarter_scaled(select_real_tokens(q, mask)), projection);
  return select_real_tokens(at::matmul(at::softmax(h + bias, -1), summary), mask);
}

at::Tensor favor_attention_published(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& projection, const at::Tensor& mask) {
  if (q.numel() == 0) return v.clone();
  const double scale = 1 / std::sqrt(static_cast<double>(projection.size(0)));
  const at::Tensor queries = quarter_scaled(select_real_tokens(q, mask));
  const at::Tensor keys = quarter_scaled(select_real_tokens(k, mask));
  const at::Tensor h_q = projected(queries, projection), h_k = projected(keys, projection);
  const at::Tensor c_q = h_q.amax({-1}, /*keepdim=*/true);
  const at::Tensor seen = mask.defined()
                              ? h_k.masked_fill(of_tokens(fill_empty_sequences(mask)).logical_not(),
                                                std::numeric_limits<float>::lowest())
                              : h_k;
  const at::Tensor phi_q = scale * ((h_q - half_square(queries) - c_q).exp() + kKernelEpsilon);
  const at::Tensor phi_k = scale * ((h_k - half_square(keys) - seen.amax()).exp() + kKernelEpsilon);
  // Padding leaves both sums; a sequence without a token keeps its denominators, its rows are zeroed below.
  const at::Tensor real = select_real_tokens(phi_k, fill_empty_sequences(mask));
  return select_real_tokens(normalised(phi_q, real, select_real_tokens(v, mask)), mask);
}

at::Tensor relu_feature_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& projection, const at::Tensor& mask) {
  const auto features = [&](const at::Tensor& x) {
    return at::relu(projected(quarter_scaled(select_real_tokens(x, mask)), projection)) + kReluEpsilon;
  };
  const at::Tensor real = select_real_tokens(features(k), fill_empty_sequences(mask));
  return select_real_tokens(normalised(features(q), real, select_real_tokens(v, mask)), mask);
}

}  // namespace lotformer::ops
