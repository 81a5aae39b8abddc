// SPDX-License-Identifier: MIT
#include "lotformer/ops/transport.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <limits>

#include "lotformer/core/error.h"
// after torch
#include "support/catch.h"

using namespace lotformer;
using ops::solve_transport;
using ops::TransportGradient;
using ops::TransportOptions;
using ops::TransportProblem;
using ops::TransportSolution;

namespace {

constexpr int64_t kProblems = 3, kPoints = 40, kSmall = 5;

double largest(const at::Tensor& x) {
  return x.abs().max().item<double>();
}

TransportProblem make_problem(double epsilon, at::ScalarType type = at::kDouble) {
  torch::manual_seed(2);
  TransportProblem problem;
  problem.cost = at::rand({kProblems, kPoints, kSmall}, type);
  problem.source = at::softmax(at::randn({kProblems, kPoints}, type), -1);
  problem.target = at::softmax(at::randn({kProblems, kSmall}, type), -1);
  problem.epsilon = epsilon;
  return problem;
}

TransportOptions unrolled(int64_t iterations) {
  TransportOptions options;
  options.gradient = TransportGradient::unrolled;
  options.iterations = iterations;
  return options;
}

std::vector<at::Tensor> gradients(TransportProblem problem, const TransportOptions& options) {
  std::vector<at::Tensor> inputs;
  for (at::Tensor* x : {&problem.cost, &problem.source, &problem.target}) {
    *x = x->detach().clone().requires_grad_();
    inputs.push_back(*x);
  }
  torch::manual_seed(5);
  const at::Tensor plan = solve_transport(problem, options).plan;
  return torch::autograd::grad({(plan * at::randn(plan.sizes(), plan.options())).sum()}, inputs);
}

}  // namespace

TEST_CASE("transport: the plan is that of many Sinkhorn iterations, with its potentials", "[transport]") {
  for (const double epsilon : {1.0, 0.1, 0.02}) {
    INFO("epsilon " << epsilon);
    const TransportProblem problem = make_problem(epsilon);
    const TransportSolution found = solve_transport(problem);
    CHECK(found.converged.all().item<bool>());
    CHECK(largest(found.source_error) < 1e-14);
    CHECK(largest(found.target_error) <= 1e-9);
    CHECK(found.passes.max().item<int64_t>() < 100);
    CHECK(largest(found.plan - solve_transport(problem, unrolled(4000)).plan) < 1e-9);
    const at::Tensor exponent =
        (found.source_potential.unsqueeze(-1) + found.target_potential.unsqueeze(-2) - problem.cost) /
        epsilon;
    const at::Tensor plan = problem.source.unsqueeze(-1) * problem.target.unsqueeze(-2) * exponent.exp();
    CHECK(largest(plan - found.plan) < 1e-14);
  }
}

TEST_CASE("transport: the implicit gradient is that of the iterations at their end", "[transport]") {
  const TransportProblem problem = make_problem(0.2);
  TransportOptions implicit;
  implicit.tolerance = 1e-13;
  const auto found = gradients(problem, implicit), wanted = gradients(problem, unrolled(2000));
  CHECK(largest(found[0] - wanted[0]) < 1e-9 * (1 + largest(wanted[0])));
  // Masses have a gradient up to a constant, because their sum does not move.
  for (const size_t i : {size_t{1}, size_t{2}}) {
    const at::Tensor difference = found[i] - wanted[i];
    CHECK(largest(difference - difference.mean(-1, /*keepdim=*/true)) < 1e-8 * (1 + largest(wanted[i])));
  }
  CHECK(largest(wanted[0]) > 1e-3);
}

TEST_CASE("transport: one problem is a problem of many, and masses are uniform unless given", "[transport]") {
  TransportProblem problem = make_problem(0.1, at::kFloat);
  problem.source = problem.target = at::Tensor();
  TransportOptions options;
  options.tolerance = 1e-5;
  const TransportSolution all = solve_transport(problem, options);
  for (int64_t i = 0; i < kProblems; ++i) {
    TransportProblem one = problem;
    one.cost = problem.cost[i];
    one.source = at::full({kPoints}, 1.0 / kPoints);
    one.target = at::full({kSmall}, 1.0 / kSmall);
    const TransportSolution alone = solve_transport(one, options);
    CHECK(alone.plan.sizes() == at::IntArrayRef({kPoints, kSmall}));
    CHECK(alone.converged.dim() == 0);
    CHECK(largest(alone.plan - all.plan[i]) < 1e-6);
  }
}

TEST_CASE("transport: a problem that has not converged says so", "[transport]") {
  TransportOptions options;
  options.max_passes = 1;
  const TransportSolution early = solve_transport(make_problem(0.02), options);
  CHECK_FALSE(early.converged.any().item<bool>());
  CHECK(early.target_error.min().item<double>() > 1e-3);
  CHECK(largest(early.source_error) < 1e-14);
  TransportProblem broken = make_problem(0.1);
  broken.cost[1][0][0] = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor converged = solve_transport(broken).converged;
  CHECK(converged[0].item<bool>());
  CHECK_FALSE(converged[1].item<bool>());
}

TEST_CASE("transport: what does not fit is refused with its reason", "[transport]") {
  const auto refusal = [](const std::function<void(TransportProblem&, TransportOptions&)>& spoil) {
    TransportProblem problem = make_problem(0.1);
    TransportOptions options;
    spoil(problem, options);
    try {
      solve_transport(problem, options);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK_THAT(refusal([](auto& p, auto&) { p.cost = p.cost[0][0]; }),
             test::contains_text("[n, r] or [P, n, r]"));
  CHECK_THAT(refusal([](auto& p, auto&) { p.cost = p.cost.to(at::kHalf); }),
             test::contains_text("float32 or float64"));
  CHECK_THAT(refusal([](auto& p, auto&) { p.source = p.target; }),
             test::contains_text("source must hold 40 numbers"));
  CHECK_THAT(refusal([](auto& p, auto&) { p.target = p.target.to(at::kFloat); }),
             test::contains_text("the type and the device of the cost"));
  CHECK_THAT(refusal([](auto& p, auto&) { p.epsilon = 0; }), test::contains_text("epsilon must be above 0"));
  CHECK_THAT(refusal([](auto&, auto& o) { o.max_passes = 0; }), test::contains_text("at least 1"));
}
