// SPDX-License-Identifier: MIT
#include "call.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>

namespace lotformer::ops {

at::Tensor empty_heads(const at::Tensor& like) {
  return at::empty_symint({like.sym_size(0), like.sym_size(2), like.sym_size(1), like.sym_size(3)},
                          like.options())
      .transpose(1, 2);
}

PivotArguments arguments_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const Optional& kappa,
                            const Optional& lengths, const Optional& query_masses, const Optional& key_masses,
                            double epsilon) {
  const auto own = [](const Optional& x) { return x.value_or(at::Tensor()); };
  return {q, k, v, pivots, sigma, own(kappa), own(lengths), epsilon, {own(query_masses), own(key_masses)}};
}

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& sigma, const Optional& kappa, const Optional& lengths) {
  TORCH_CHECK_VALUE(q.dim() == 4 && k.sizes() == q.sizes() && v.sizes() == q.sizes(),
                    "lotformer::pivot: q, k and v must have one shape [B, H, N, D], got ", q.sizes(), ", ",
                    k.sizes(), ", ", v.sizes());
  TORCH_CHECK_VALUE(
      pivots.dim() == 3 && pivots.size(0) == q.size(1) && pivots.size(2) == q.size(3) && pivots.size(1) > 0,
      "lotformer::pivot: pivots must be [H, r, D] beside q ", q.sizes(), ", got ", pivots.sizes());
  TORCH_CHECK_VALUE(sigma.dim() == 2 && sigma.size(0) == q.size(1) && sigma.size(1) == pivots.size(1),
                    "lotformer::pivot: the masses must be [H, r], got ", sigma.sizes());
  if (kappa && kappa->defined()) {
    TORCH_CHECK_VALUE(kappa->dim() == 2 && kappa->size(0) == 2 && kappa->size(1) == q.size(1),
                      "lotformer::pivot: kappa must be [2, H], got ", kappa->sizes());
  }
  if (lengths && lengths->defined()) {
    TORCH_CHECK_VALUE(
        lengths->dim() == 1 && lengths->size(0) == q.size(0) && lengths->scalar_type() == at::kLong,
        "lotformer::pivot: lengths must be int64 [B], got ", lengths->sizes());
  }
}

void check_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& sigma, const Optional& kappa, const Optional& lengths) {
  check_shapes(q, k, v, pivots, sigma, kappa, lengths);
  const at::Tensor relaxation = kappa.value_or(at::Tensor());
  for (const at::Tensor* x : {&k, &v, &pivots, &sigma, &relaxation}) {
    TORCH_CHECK_TYPE(!x->defined() || x->scalar_type() == q.scalar_type(),
                     "lotformer::pivot: ", x->scalar_type(), " beside ", q.scalar_type(), " inputs");
  }
  TORCH_CHECK_TYPE(q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble,
                   "lotformer::pivot: float32 or float64, got ", q.scalar_type());
  if (!lengths || !lengths->defined()) return;
  const at::Tensor own = lengths->contiguous();
  const int64_t* values = own.const_data_ptr<int64_t>();
  for (int64_t b = 0; b < own.size(0); ++b) {
    TORCH_CHECK_VALUE(values[b] >= 0 && values[b] <= q.size(2), "lotformer::pivot: length ", values[b],
                      " of sequence ", b, " is not within 0 and ", q.size(2));
  }
}

void check_masses(const TokenMasses& masses, const at::Tensor& q, const at::Tensor& pivots) {
  for (const at::Tensor* x : {&masses.query, &masses.key}) {
    if (!x->defined()) continue;
    TORCH_CHECK_VALUE(x->dim() == 3 && x->size(0) == q.size(0) && x->size(1) == q.size(1) &&
                          x->size(2) == q.size(2) && x->device() == q.device(),
                      "lotformer::pivot: masses of tokens must be [B, H, N] beside q ", q.sizes(), ", got ",
                      x->sizes());
    TORCH_CHECK_TYPE(x->scalar_type() == pivots.scalar_type(), "lotformer::pivot: masses of tokens are ",
                     x->scalar_type(), " beside ", pivots.scalar_type(), " pivots");
  }
}

at::ScalarType transport_type(const at::Tensor& q) {
  return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor raised_to_float(const at::Tensor& x, c10::DeviceType device) {
  return at::autocast::cached_cast(at::kFloat, x, device);
}

std::array<at::Tensor, 3> autocast_tokens(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const c10::DeviceType device = q.device().type();
  const auto kept = [](const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; };
  if (core_traits(device).bf16 && kept(q) && kept(k) && kept(v)) return {q, k, v};
  return {raised_to_float(q, device), raised_to_float(k, device), raised_to_float(v, device)};
}

CoreTraits& core_traits(c10::DeviceType device) {
#ifdef LOTFORMER_HAS_CUDA
  static CoreTraits cuda = cuda_core_traits();
#else
  static CoreTraits cuda;
#endif
  static CoreTraits cpu, none;
  return device == at::kCPU ? cpu : device == at::kCUDA ? cuda : none;
}

bool wants_gradient(at::TensorList tensors) {
  return at::GradMode::is_enabled() && std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& x) {
           return x.defined() && x.requires_grad();
         });
}

}  // namespace lotformer::ops
