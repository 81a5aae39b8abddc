// SPDX-License-Identifier: MIT
#include "lotformer/attention/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/elu.h>
#include <ATen/ops/matmul.h>

#include "lotformer/ops/lengths.h"

namespace lotformer {

void LinearOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "floor",
                 .help = "smallest feature, keeps denominators above zero",
                 .range = {.low = 0, .high = 1, .low_open = true}},
                floor);
}

LinearAttentionImpl::LinearAttentionImpl(const LinearOptions& options, const AttentionShape& /*shape*/)
    : AttentionImpl("linear"), floor_(options.floor) {}

at::Tensor LinearAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const at::Tensor& lengths) {
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));  // [B, N]
  const auto features = [&](const at::Tensor& x) {
    return at::elu(ops::select_real_tokens(x, mask)) + (1 + floor_);
  };
  const at::Tensor phi_q = features(q);  // [B, H, N, D]
  const at::Tensor phi_k = ops::select_real_tokens(features(k), ops::fill_empty_sequences(mask));
  const at::Tensor sums = at::matmul(phi_k.transpose(-2, -1), ops::select_real_tokens(v, mask));
  const at::Tensor total = at::matmul(phi_q, phi_k.sum(-2).unsqueeze(-1));  // [B, H, N, 1]
  return ops::select_real_tokens(at::matmul(phi_q, sums) / total, mask);
}

}  // namespace lotformer
