// SPDX-License-Identifier: MIT
#include "gauss_transform.h"

#include <ATen/ops/empty_like.h>

#include <numeric>
#include <vector>

#include "lotformer/core/error.h"
#include "ops/sliced/gauss_kernel.h"

namespace lotformer::ops {
namespace {

void check(const at::Tensor& points, const at::Tensor& values, double tau) {
  const auto refuse = [](const char* message) { throw Error(ErrorKind::usage, message); };
  const at::ScalarType type = points.scalar_type();
  if (type != at::kFloat && type != at::kDouble) refuse("gauss_transform: points must be float32 or float64");
  if (values.scalar_type() != type) refuse("gauss_transform: points and values must have one dtype");
  if (!points.is_cpu() || !values.is_cpu()) refuse("gauss_transform: points and values must be on the CPU");
  if (points.dim() != 1 || values.dim() != 2 || values.size(0) != points.size(0)) {
    refuse("gauss_transform: points [N] and values [N, C] are expected");
  }
  if (!(tau > 0)) refuse("gauss_transform: tau must be > 0");
  if (!points.isfinite().all().item<bool>()) refuse("gauss_transform: points must be finite");
}

template <class T>
at::Tensor transform(const at::Tensor& points, const at::Tensor& values, double tau, GaussForm form) {
  const at::Tensor order = points.argsort();
  const at::Tensor sorted = points.index_select(0, order).to(at::kDouble).contiguous();
  const at::Tensor a = values.index_select(0, order).contiguous();
  const double* first = sorted.const_data_ptr<double>();
  GaussKernel<T> kernel(std::vector<double>(first, first + sorted.numel()), tau);
  at::Tensor moved = at::empty_like(a);
  kernel.apply(form, a.const_data_ptr<T>(), a.size(1), moved.data_ptr<T>());
  return at::empty_like(a).index_copy_(0, order, moved);
}

at::Tensor transform(const at::Tensor& points, const at::Tensor& values, double tau, GaussForm form) {
  check(points, values, tau);
  if (values.numel() == 0) return at::empty_like(values);
  return points.scalar_type() == at::kDouble ? transform<double>(points.detach(), values.detach(), tau, form)
                                             : transform<float>(points.detach(), values.detach(), tau, form);
}

}  // namespace

at::Tensor gauss_transform(const at::Tensor& points, const at::Tensor& values, double tau) {
  return transform(points, values, tau, GaussForm::value);
}

at::Tensor gauss_transform_derivative(const at::Tensor& points, const at::Tensor& values, double tau) {
  return transform(points, values, tau, GaussForm::derivative);
}

}  // namespace lotformer::ops
