// SPDX-License-Identifier: MIT
// Entropic optimal transport with a small side, by itself: plan, potentials, errors, gradient.
#include "lotformer/ops/transport.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <torch/utils.h>

#include <cmath>
#include <cstdio>

namespace ops = lotformer::ops;

int main() {
  torch::manual_seed(0);
  const at::TensorOptions real = at::kDouble;
  const at::Tensor x = at::rand({2000, 2}, real), y = at::rand({16, 2}, real).requires_grad_();
  const auto cost = [&](const at::Tensor& to) { return at::cdist(x, to).square(); };

  ops::TransportProblem problem;
  problem.cost = cost(y);                                  // [n, r]; [P, n, r] solves P problems
  problem.target = at::softmax(at::randn({16}, real), 0);  // masses of y; those of x: 1 / n
  problem.epsilon = 0.01;
  const ops::TransportSolution found = ops::solve_transport(problem);
  std::printf("converged %s after %ld passes\n", found.converged.item<bool>() ? "yes" : "no",
              static_cast<long>(found.passes.item<int64_t>()));
  std::printf("marginal errors %.1e and %.1e\n", found.source_error.item<double>(),
              found.target_error.item<double>());

  // The plan in terms of the potentials: a_i b_j exp((f_i + g_j - C_ij) / epsilon).
  const at::Tensor f = found.source_potential.unsqueeze(1), g = found.target_potential;
  const at::Tensor plan = ((f + g - problem.cost) / problem.epsilon).exp() * problem.target / 2000.0;
  std::printf("largest entry %.3e, by its potentials off by %.1e\n", found.plan.max().item<double>(),
              (plan - found.plan).abs().max().item<double>());

  // The transport cost <C, P> and its gradient with respect to the points y, through cost and plan. Finite
  // differences along one direction check it.
  const at::Tensor value = (problem.cost * found.plan).sum();
  value.backward();
  const at::Tensor direction = at::randn(y.sizes(), real);
  const auto value_at = [&](double step) {
    ops::TransportProblem moved = problem;
    moved.cost = cost((y + step * direction).detach());
    return (moved.cost * ops::solve_transport(moved).plan).sum().item<double>();
  };
  const double implicit = (y.grad() * direction).sum().item<double>();
  const double difference = (value_at(1e-5) - value_at(-1e-5)) / 2e-5;
  std::printf("cost %.6f, derivative %.6f, by finite differences off by %.1e\n", value.item<double>(),
              implicit, std::abs(implicit - difference));

  // The other gradient: through 200 Sinkhorn iterations.
  ops::TransportOptions unrolled;
  unrolled.gradient = ops::TransportGradient::unrolled;
  unrolled.iterations = 200;
  const ops::TransportSolution iterated = ops::solve_transport(problem, unrolled);
  std::printf("after 200 Sinkhorn iterations: column error %.1e, converged %s\n",
              iterated.target_error.item<double>(), iterated.converged.item<bool>() ? "yes" : "no");
}
