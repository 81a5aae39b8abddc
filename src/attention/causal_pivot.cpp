// SPDX-License-Identifier: MIT
#include "lotformer/attention/causal_pivot.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>

#include "lotformer/ops/lengths.h"

namespace lotformer {

void CausalPivotOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "pivots", .help = "number of pivots r", .range = {.low = 1, .high = 1024}}, pivots);
  visitor.field({.key = "epsilon",
                 .help = "temperature of the weights, of pivots for a query and of tokens for a pivot",
                 .range = {.low = 0, .high = 1e6, .low_open = true}},
                epsilon);
}

/// Pivots of the size at which scores have the standard deviation of one temperature, as `pivot_init:
/// unit_score` of LOTFormer.
CausalPivotAttentionImpl::CausalPivotAttentionImpl(const CausalPivotOptions& options,
                                                   const AttentionShape& shape)
    : AttentionImpl("causal_pivot"), epsilon_(options.epsilon) {
  const double deviation = options.epsilon * std::sqrt(3.0);
  pivots = register_parameter("pivots", at::randn({shape.heads, options.pivots, shape.head_dim}) * deviation);
  pivot_logits = register_parameter("pivot_logits", at::zeros({shape.heads, options.pivots}));
}

ops::CausalPivotCall CausalPivotAttentionImpl::call_of(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& v, const at::Tensor& lengths) const {
  const at::ScalarType type = q.scalar_type();
  return {q, k, v, pivots.to(type), at::log_softmax(pivot_logits.to(type), -1), lengths, epsilon_};
}

at::Tensor CausalPivotAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                            const at::Tensor& lengths) {
  return ops::causal_pivot_attention(call_of(q, k, v, lengths));
}

at::Tensor CausalPivotAttentionImpl::continue_with(ops::CausalPivotState& state, const at::Tensor& q,
                                                   const at::Tensor& k, const at::Tensor& v) {
  ops::check_attention_inputs("causal_pivot", q, k, v, {});
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::ScalarType type = computing_type(q);
  return ops::causal_pivot_attention(call_of(q.to(type), k.to(type), v.to(type), {}), &state)
      .to(q.scalar_type());
}

}  // namespace lotformer
