// SPDX-License-Identifier: MIT
// What every module would otherwise repeat.
#include "lotformer/attention/attention.h"

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <utility>

#include "lotformer/ops/lengths.h"

namespace lotformer {

at::ScalarType computing_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

AttentionImpl::AttentionImpl(std::string kind, Compute compute)
    : torch::nn::Module(std::move(kind)), compute_(compute) {}

at::Tensor AttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& lengths) {
  ops::check_attention_inputs(name(), q, k, v, lengths);
  // Autocast would round the operands of each product to bfloat16, whatever type the module has chosen for
  // them.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (compute_ == Compute::native) return attend(q, k, v, lengths).to(q.scalar_type());
  const at::ScalarType type = computing_type(q);
  return attend(q.to(type), k.to(type), v.to(type), lengths).to(q.scalar_type());
}

}  // namespace lotformer
