// SPDX-License-Identifier: MIT
// The solver of aten/solver.h for problems given by their cost. Inside: logits -C / epsilon [P, r, n], as the
// solver wants them.
#include "lotformer/ops/transport.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "ops/pivot/aten/solver.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor centred(const at::Tensor& p, const at::Tensor& w) {
  return p * (w - (p * w).sum(1, /*keepdim=*/true));
}

/// What the solver takes: `a` [P, 1, n], all points real.
TokenMarginal marginal_of(const at::Tensor& a) {
  return {{}, at::full({a.size(0), 1}, 1.0 / static_cast<double>(a.size(2)), a.options()), a};
}

/// The plan as a function of logits [P, r, n], a [P, 1, n] and b [P, r].
struct ImplicitPlan : torch::autograd::Function<ImplicitPlan> {
  /// plan [P, r, n], h [P, r], residual [P], passes [P]
  static variable_list forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& a,
                               const at::Tensor& b, const PivotSolverOptions& options) {
    const TokenMarginal points = marginal_of(a);
    const PivotSolution solution = solve_pivot_potentials(logits, points, b, options);
    ctx->save_for_backward({logits, a, solution.potentials, solution.marginal, solution.gram});
    ctx->mark_non_differentiable({solution.potentials, solution.residual, solution.passes});
    return {a * pivot_probabilities(logits, solution.potentials, points), solution.potentials,
            solution.residual, solution.passes};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list s = ctx->get_saved_variables();
    const at::Tensor &logits = s[0], &a = s[1], &w = upstream[0];
    const at::Tensor p = pivot_probabilities(logits, s[2], marginal_of(a));
    const at::Tensor t = centred(p, w);
    // A system that is not positive definite belongs to rows that are one-hot, whose derivative is 0.
    at::Tensor solved;
    const at::Tensor found = solve_pivot_system(s[3], s[4], (a * t).sum(-1), {}, solved);
    const at::Tensor lambda = at::where(solved.unsqueeze(-1), found, at::zeros_like(found));
    const at::Tensor d_logits = a * (t - centred(p, lambda.unsqueeze(-1)));
    const at::Tensor d_a = (p * (w - lambda.unsqueeze(-1))).sum(1, /*keepdim=*/true);
    return {d_logits, d_a, lambda, {}};
  }
};

/// The same outputs after a given number of Sinkhorn iterations, by autograd.
variable_list unrolled_plan(const at::Tensor& logits, const at::Tensor& a, const at::Tensor& b,
                            int64_t iterations) {
  const at::Tensor log_a = a.log(), log_b = b.log().unsqueeze(-1);
  at::Tensor source = log_a - at::logsumexp(logits, {1}, /*keepdim=*/true), target;
  for (int64_t i = 0; i < iterations; ++i) {
    target = log_b - at::logsumexp(logits + source, {2}, /*keepdim=*/true);
    source = log_a - at::logsumexp(logits + target, {1}, /*keepdim=*/true);
  }
  const at::Tensor plan = (logits + source + target).exp();
  const at::Tensor error = (plan.detach().sum(-1) - b.detach()).abs().sum(-1);
  return {plan, target.detach().squeeze(-1), error, at::full_like(error, iterations + 1, at::kLong)};
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::usage, concat("transport: ", message));
}

/// `given` [P, size] or [size] or undefined for 1 / size, as [P, size].
at::Tensor masses_of(const at::Tensor& given, const char* name, int64_t problems, int64_t size,
                     const at::Tensor& cost) {
  if (!given.defined())
    return at::full({problems, size}, 1.0 / static_cast<double>(size), cost.options().requires_grad(false));
  const bool one = given.dim() == 1 && given.size(0) == size,
             each = given.dim() == 2 && given.size(0) == problems && given.size(1) == size;
  if (!one && !each)
    refuse(concat(name, " must hold ", size, " numbers, or one row of them for each of ", problems,
                  " problems"));
  if (given.scalar_type() != cost.scalar_type() || given.device() != cost.device())
    refuse(concat(name, " must have the type and the device of the cost"));
  return given.expand({problems, size});
}

void check(const TransportProblem& problem, const TransportOptions& options) {
  const at::Tensor& cost = problem.cost;
  if (!cost.defined() || (cost.dim() != 2 && cost.dim() != 3) || cost.size(-1) < 1 || cost.size(-2) < 1)
    refuse("the cost must be [n, r] or [P, n, r] with n and r at least 1");
  if (cost.scalar_type() != at::kFloat && cost.scalar_type() != at::kDouble)
    refuse("the cost must be float32 or float64");
  if (!(problem.epsilon > 0)) refuse("epsilon must be above 0");
  if (options.max_passes < 1 || options.iterations < 1)
    refuse("max_passes and iterations must be at least 1");
}

}  // namespace

TransportSolution solve_transport(const TransportProblem& problem, const TransportOptions& options) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  check(problem, options);
  const bool one = problem.cost.dim() == 2;
  const at::Tensor cost = one ? problem.cost.unsqueeze(0) : problem.cost;
  const int64_t problems = cost.size(0), n = cost.size(1), r = cost.size(2);
  const at::Tensor a = masses_of(problem.source, "source", problems, n, cost).unsqueeze(1),
                   b = masses_of(problem.target, "target", problems, r, cost);
  const at::Tensor logits = cost.transpose(1, 2) * (-1 / problem.epsilon);
  const variable_list found =
      options.gradient == TransportGradient::implicit
          ? ImplicitPlan::apply(logits, a, b, PivotSolverOptions{options.tolerance, options.max_passes})
          : unrolled_plan(logits, a, b, options.iterations);
  const at::Tensor plan = found[0].transpose(1, 2), own = plan.detach();
  const at::Tensor normaliser = at::logsumexp(logits.detach() + found[1].unsqueeze(-1), {1});  // [P, n]
  TransportSolution solution{plan,
                             normaliser * -problem.epsilon,
                             (found[1] - b.detach().log()) * problem.epsilon,
                             (own.sum(-1) - a.detach().squeeze(1)).abs().sum(-1),
                             (own.sum(-2) - b.detach()).abs().sum(-1),
                             {},
                             found[3]};
  solution.converged = solution.target_error <= options.tolerance;
  if (!one) return solution;
  for (at::Tensor* x :
       {&solution.plan, &solution.source_potential, &solution.target_potential, &solution.source_error,
        &solution.target_error, &solution.converged, &solution.passes})
    *x = x->squeeze(0);
  return solution;
}

}  // namespace lotformer::ops
