// SPDX-License-Identifier: MIT
#include "lotformer/attention/controls.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include "lotformer/ops/lengths.h"

namespace lotformer {

void ControlOptions::visit(FieldVisitor& /*visitor*/) {}

MeanAttentionImpl::MeanAttentionImpl(const ControlOptions& /*options*/, const AttentionShape& /*shape*/)
    : AttentionImpl("mean") {}

at::Tensor MeanAttentionImpl::attend(const at::Tensor& /*q*/, const at::Tensor& /*k*/, const at::Tensor& v,
                                     const at::Tensor& lengths) {
  const at::Tensor mask = ops::length_mask(lengths, v.size(2));
  const at::Tensor sum = ops::select_real_tokens(v, mask).sum(2, /*keepdim=*/true);  // [B, H, 1, D]
  const at::Tensor mean =
      mask.defined() ? sum / lengths.clamp_min(1).view({-1, 1, 1, 1}).to(v.scalar_type()) : sum / v.size(2);
  return ops::select_real_tokens(mean.expand(v.sizes()), mask);
}

NoAttentionImpl::NoAttentionImpl(const ControlOptions& /*options*/, const AttentionShape& /*shape*/)
    : AttentionImpl("none", Compute::native) {}

at::Tensor NoAttentionImpl::attend(const at::Tensor& q, const at::Tensor& /*k*/, const at::Tensor& /*v*/,
                                   const at::Tensor& /*lengths*/) {
  return at::zeros(q.sizes(), q.options().requires_grad(false));
}

}  // namespace lotformer
