// SPDX-License-Identifier: MIT
// Derivatives by central differences, to hold backward passes to. Include before support/catch.h.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

namespace lotformer::test {

/// For every input a random direction u: <gradient, u> against (f(x + h u) - f(x - h u)) / 2h, fourth order
/// (five points). `f` maps the inputs to a scalar; float64. Returns the largest |difference| / (largest
/// derivative seen + 1e-3).
inline double gradient_error(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                             const std::vector<at::Tensor>& inputs, double step, int64_t directions = 3) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_());
  const at::Tensor value_at_start = f(leaves);
  if (value_at_start.requires_grad()) value_at_start.backward();
  double worst = 0, largest = 1e-3;
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < leaves.size(); ++i) {
    for (int64_t d = 0; d < directions; ++d) {
      const at::Tensor u = at::randn_like(leaves[i].detach());
      const auto value = [&](double offset) {
        std::vector<at::Tensor> moved;
        for (size_t j = 0; j < leaves.size(); ++j) {
          moved.push_back(j == i ? leaves[j].detach() + offset * u : leaves[j].detach());
        }
        return f(moved).item<double>();
      };
      const double numeric =
          (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
      const double analytic = leaves[i].grad().defined() ? (leaves[i].grad() * u).sum().item<double>() : 0.0;
      worst = std::max(worst, std::abs(numeric - analytic));
      largest = std::max(largest, std::abs(numeric));
    }
  }
  return worst / largest;
}

}  // namespace lotformer::test
