// SPDX-License-Identifier: MIT
#include "lotformer/attention/controls.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "lotformer/ops/lengths.h"

namespace lotformer {

void ControlOptions::visit(FieldVisitor& /*visitor*/) {}

MeanAttentionImpl::MeanAttentionImpl(const ControlOptions& /*options*/, const AttentionShape& /*shape*/) {}

at::Tensor MeanAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      const at::Tensor& lengths) {
  ops::check_attention_inputs("mean", q, k, v, lengths);
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::ScalarType type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));
  const at::Tensor sum = ops::select_real_tokens(v, mask).to(type).sum(2, /*keepdim=*/true);  // [B, H, 1, D]
  const at::Tensor mean =
      mask.defined() ? sum / lengths.clamp_min(1).view({-1, 1, 1, 1}).to(type) : sum / v.size(2);
  return ops::select_real_tokens(mean.expand(v.sizes()), mask).to(q.scalar_type());
}

NoAttentionImpl::NoAttentionImpl(const ControlOptions& /*options*/, const AttentionShape& /*shape*/) {}

at::Tensor NoAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& lengths) {
  ops::check_attention_inputs("none", q, k, v, lengths);
  return at::zeros(q.sizes(), q.options().requires_grad(false));
}

}  // namespace lotformer
