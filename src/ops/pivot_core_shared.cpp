// SPDX-License-Identifier: MIT
#include "pivot_core_shared.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/pivot_core.h"

namespace lotformer::ops {

at::Tensor empty_heads(const at::Tensor& like) {
  return at::empty_symint({like.sym_size(0), like.sym_size(2), like.sym_size(1), like.sym_size(3)},
                          like.options())
      .transpose(1, 2);
}

void check_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& sigma, const Optional& lengths) {
  TORCH_CHECK_VALUE(q.dim() == 4 && k.sizes() == q.sizes() && v.sizes() == q.sizes(),
                    "lotformer::pivot: q, k and v must have one shape [B, H, N, D], got ", q.sizes(), ", ",
                    k.sizes(), ", ", v.sizes());
  TORCH_CHECK_VALUE(
      pivots.dim() == 3 && pivots.size(0) == q.size(1) && pivots.size(2) == q.size(3) && pivots.size(1) > 0,
      "lotformer::pivot: pivots must be [H, r, D] beside q ", q.sizes(), ", got ", pivots.sizes());
  TORCH_CHECK_VALUE(sigma.dim() == 2 && sigma.size(0) == q.size(1) && sigma.size(1) == pivots.size(1),
                    "lotformer::pivot: the masses must be [H, r], got ", sigma.sizes());
  for (const at::Tensor* x : {&k, &v, &pivots, &sigma}) {
    TORCH_CHECK_TYPE(x->scalar_type() == q.scalar_type(), "lotformer::pivot: ", x->scalar_type(), " beside ",
                     q.scalar_type(), " inputs");
  }
  TORCH_CHECK_TYPE(q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble,
                   "lotformer::pivot: float32 or float64, got ", q.scalar_type());
  if (!lengths || !lengths->defined()) return;
  TORCH_CHECK_VALUE(
      lengths->dim() == 1 && lengths->size(0) == q.size(0) && lengths->scalar_type() == at::kLong,
      "lotformer::pivot: lengths must be int64 [B], got ", lengths->sizes());
  const at::Tensor own = lengths->contiguous();
  const int64_t* values = own.const_data_ptr<int64_t>();
  for (int64_t b = 0; b < own.size(0); ++b) {
    TORCH_CHECK_VALUE(values[b] >= 0 && values[b] <= q.size(2), "lotformer::pivot: length ", values[b],
                      " of sequence ", b, " is not within 0 and ", q.size(2));
  }
}

at::Tensor raised_to_float(const at::Tensor& x, c10::DeviceType device) {
  return at::autocast::cached_cast(at::kFloat, x, device);
}

bool wants_gradient(at::TensorList tensors) {
  return at::GradMode::is_enabled() && std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& x) {
           return x.defined() && x.requires_grad();
         });
}

void require_core(const at::Tensor& x) {
  if (!pivot_core_on(x.device()))
    throw Error(ErrorKind::usage,
                concat("model.attention.core: no LOT core for tensors on ", x.device().str(), "; use aten"));
}

}  // namespace lotformer::ops
