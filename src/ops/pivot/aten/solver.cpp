// SPDX-License-Identifier: MIT
#include "solver.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/diag_embed.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <vector>

#include "lotformer/core/error.h"
#include "pass.h"

namespace lotformer::ops {
namespace {

using pivot::aten::evaluate;
using pivot::aten::log_target;
using pivot::aten::mass_term;
using pivot::aten::Pass;
using pivot::aten::Precision;
using pivot::aten::precision_of;
using pivot::aten::sure_gain;

constexpr int64_t kFewPasses = 16, kFewTokens = 8;
/// A longer step of a component says that the quadratic model has failed there. It would starve a pivot below
/// the smallest exponent, from where it comes back by as much a pass.
constexpr double kLargestStep = 40;

/// The problems still worked on, all tensors with the same leading size.
struct Working {
  at::Tensor index;  // [W], place among the P problems
  at::Tensor logits, sigma, share, real, masses, kappa;
  at::Tensor potentials, marginal, gram, dual, residual;  // the last accepted point
  at::Tensor best;                                        // smallest residual of an accepted point
  at::Tensor lowest, lowest_potentials,
      lowest_marginal;  // the smallest residual of all passes, and its point
  at::Tensor omega;     // damping 1 - theta
  at::Tensor sinkhorn;  // bool: the next step is a Sinkhorn step
  at::Tensor plain;     // bool: so are all
  at::Tensor failures;  // int64: rejected trials in a row
  at::Tensor passes;    // int64
  at::Tensor active;    // bool

  std::vector<at::Tensor*> all() {
    return {&index,
            &logits,
            &sigma,
            &share,
            &real,
            &masses,
            &kappa,
            &potentials,
            &marginal,
            &gram,
            &dual,
            &residual,
            &best,
            &lowest,
            &lowest_potentials,
            &lowest_marginal,
            &omega,
            &sinkhorn,
            &plain,
            &failures,
            &passes,
            &active};
  }
  TokenMarginal tokens() const { return {real, share, masses}; }
  void keep(const at::Tensor& rows) {
    for (at::Tensor* tensor : all()) {
      if (tensor->defined()) *tensor = tensor->index_select(0, rows);
    }
  }
};

Working first_point(const at::Tensor& logits, const TokenMarginal& tokens, const at::Tensor& sigma,
                    const at::Tensor& kappa, const PivotSolverOptions& options) {
  Working w;
  const at::Tensor free = kappa.defined() ? kappa.isinf() : at::Tensor();
  if (kappa.defined()) w.kappa = kappa.masked_fill(free, 0).unsqueeze(-1);  // [P, 1]
  w.index = at::arange(sigma.size(0), sigma.options().dtype(at::kLong));
  w.logits = logits;
  w.sigma = sigma;
  w.share = tokens.share;
  w.real = tokens.real;
  w.masses = tokens.masses;
  w.potentials = at::zeros_like(sigma);
  const Pass pass = evaluate(logits, w.potentials, tokens, sigma, w.kappa);
  w.marginal = pass.marginal;
  w.gram = pass.gram;
  w.dual = pass.dual;
  w.residual = free.defined() ? pass.residual.masked_fill(free, 0) : pass.residual;
  w.best = w.lowest = w.residual;
  w.lowest_potentials = w.potentials;
  w.lowest_marginal = w.marginal;
  w.omega = at::full_like(w.residual, 0.1);
  w.sinkhorn = at::ones_like(w.residual, w.residual.options().dtype(at::kBool));  // cold start
  const at::Tensor few_tokens = (tokens.concentration() * (kFewTokens * sigma.size(1))).gt(1);
  w.plain = options.max_passes < 4            ? w.sinkhorn
            : options.max_passes < kFewPasses ? few_tokens
                                              : w.sinkhorn.logical_not();
  w.failures = at::zeros_like(w.index);
  w.passes = at::ones_like(w.index);
  w.active = w.residual > options.tolerance;  // false for NaN: such a problem is over
  return w;
}

void store(const Working& w, PivotSolution& solution) {
  solution.potentials.index_copy_(0, w.index, w.potentials);
  solution.marginal.index_copy_(0, w.index, w.marginal);
  solution.gram.index_copy_(0, w.index, w.gram);
  solution.residual.index_copy_(0, w.index, w.residual);
  solution.passes.index_copy_(0, w.index, w.passes);
}

at::Tensor select_rows(const at::Tensor& condition, const at::Tensor& yes, const at::Tensor& no) {
  at::Tensor shaped = condition;
  while (shaped.dim() < yes.dim()) shaped = shaped.unsqueeze(-1);
  return at::where(shaped, yes, no);
}

/// Back to the smallest residual of all passes, where `allowed`. The Gram matrix and the dual stay behind.
at::Tensor return_to_lowest(Working& w, const at::Tensor& allowed) {
  const at::Tensor back = (w.lowest < w.residual).logical_and(allowed);
  w.potentials = select_rows(back, w.lowest_potentials, w.potentials);
  w.marginal = select_rows(back, w.lowest_marginal, w.marginal);
  w.residual = at::where(back, w.lowest, w.residual);
  return back;
}

/// One trial for every working problem, accepted or rejected problem by problem.
void advance(Working& w, double tolerance) {
  const Precision& precision = precision_of(w.logits);
  const at::Tensor log_b = log_target(w.sigma, w.potentials, w.kappa);
  const at::Tensor log_ratio = log_b - w.marginal.clamp_min(precision.tiny).log();
  const at::Tensor gain = sure_gain(w.sigma, log_b, log_ratio, w.kappa);

  at::Tensor solved;
  const at::Tensor theta = (1 - w.omega.clamp_min(precision.least_damping)).unsqueeze(-1);
  at::Tensor newton = solve_pivot_system(w.marginal, w.gram, w.marginal * log_ratio, theta, solved, w.kappa);
  newton = (newton - (w.marginal * newton).sum(-1, /*keepdim=*/true)).clamp(-kLargestStep, kLargestStep);
  const at::Tensor sinkhorn = w.sinkhorn.logical_or(w.plain).logical_or(solved.logical_not());
  const at::Tensor damped = w.kappa.defined() ? log_ratio / (1 + w.kappa) : log_ratio;
  at::Tensor trial = w.potentials + select_rows(sinkhorn, damped, newton);
  trial = trial - trial.mean(-1, /*keepdim=*/true);
  const Pass pass = evaluate(w.logits, trial, w.tokens(), w.sigma, w.kappa);

  const at::Tensor lower = (pass.residual < w.lowest).logical_and(w.active);
  w.lowest = at::where(lower, pass.residual, w.lowest);
  w.lowest_potentials = select_rows(lower, trial, w.lowest_potentials);
  w.lowest_marginal = select_rows(lower, pass.marginal, w.lowest_marginal);

  const at::Tensor halved = pass.residual <= 0.5 * w.best;
  // Where the guaranteed gain of the dual drowns in rounding, the solution is near and a smaller residual
  // says enough.
  const at::Tensor gained =
      at::where(gain > precision.dual_noise, pass.dual - w.dual >= gain, pass.residual <= 0.99 * w.residual);
  const at::Tensor solved_to_tolerance = pass.residual <= tolerance;
  const at::Tensor accepted =
      sinkhorn.logical_or(halved).logical_or(gained).logical_or(solved_to_tolerance).logical_and(w.active);
  w.passes = w.passes + w.active;

  const at::Tensor raised = 10 * w.omega.clamp_min(1e-3);
  const at::Tensor lowered = at::where(sinkhorn, w.omega.clamp_max(0.3), 0.1 * w.omega);
  const at::Tensor give_up = accepted.logical_not().logical_and(raised >= 1);  // back to a Sinkhorn step
  w.omega = at::where(accepted, lowered, raised.masked_fill(give_up, 0.3));
  w.sinkhorn = give_up;
  w.failures = (w.failures + 1).masked_fill(accepted, 0);

  w.potentials = select_rows(accepted, trial, w.potentials);
  w.marginal = select_rows(accepted, pass.marginal, w.marginal);
  w.gram = select_rows(accepted, pass.gram, w.gram);
  w.dual = at::where(accepted, pass.dual, w.dual);
  w.residual = at::where(accepted, pass.residual, w.residual);
  w.best = at::where(accepted, at::minimum(w.best, pass.residual), w.best);

  // The floor of the precision: h itself carries a relative error of machine epsilon, and c follows it.
  const at::Tensor floor = (4 * precision.epsilon) * (1 + w.potentials.abs().amax(-1));
  const at::Tensor stalled = (w.failures >= 2).logical_and(w.residual <= floor);
  w.active = w.active.logical_and(w.residual > tolerance).logical_and(stalled.logical_not());
}

/// Hands out the working problems; those that are `over` at the point of their smallest residual.
void finish(Working w, const at::Tensor& over, PivotSolution& solution) {
  const at::Tensor back = return_to_lowest(w, over);
  if (back.any().item<bool>()) {
    const Pass pass = evaluate(w.logits, w.potentials, w.tokens(), w.sigma, w.kappa);
    w.gram = select_rows(back, pass.gram, w.gram);
  }
  store(w, solution);
}

}  // namespace

at::Tensor solve_pivot_system(const at::Tensor& marginal, const at::Tensor& gram, const at::Tensor& rhs,
                              const at::Tensor& theta, at::Tensor& solved, const at::Tensor& kappa) {
  const Precision& precision = precision_of(marginal);
  // Scaled symmetrically to unit diagonal (1 + kappa); theta q q^T lifts the eigenvector q = sqrt(c), which
  // is the null vector of the constraint, and leaves the rest as it is.
  const at::Tensor q = marginal.clamp_min(precision.tiny).sqrt();
  const at::Tensor scale = q.reciprocal();
  at::Tensor matrix = q.unsqueeze(-1) * q.unsqueeze(-2) - (scale.unsqueeze(-1) * gram) * scale.unsqueeze(-2);
  if (theta.defined()) matrix.mul_(theta.unsqueeze(-1));
  matrix.diagonal(0, -2, -1).add_(1 + precision.jitter);
  if (kappa.defined()) matrix.diagonal(0, -2, -1).add_(kappa);
  const auto [factor, info] = at::linalg_cholesky_ex(matrix);
  const at::Tensor projected = rhs - marginal * rhs.sum(-1, /*keepdim=*/true);
  const at::Tensor x = scale * at::cholesky_solve((scale * projected).unsqueeze(-1), factor).squeeze(-1);
  solved = info.eq(0).logical_and(x.isfinite().all(-1));
  const at::Tensor constant = kappa.defined() ? (marginal * x).sum(-1, true) : x.mean(-1, /*keepdim=*/true);
  return x - constant;
}

at::Tensor rounding_matrix(const at::Tensor& marginal, const at::Tensor& sigma) {
  const double tiny = precision_of(marginal).tiny;
  const at::Tensor kept = (sigma / marginal.clamp_min(tiny)).clamp_max(1);  // s
  const at::Tensor missing = (sigma - marginal).clamp_min(0);               // f
  const at::Tensor total = missing.sum(-1, /*keepdim=*/true);
  // Without a missing mass nothing is moved: s stays as it is where rounding made it differ from 1, so the
  // mass goes back in place.
  const at::Tensor target = at::where(total > 0, missing / total.clamp_min(tiny), sigma);
  return at::diag_embed(kept) + (1 - kept).unsqueeze(-1) * target.unsqueeze(-2);
}

PivotSolution solve_pivot_potentials(const at::Tensor& logits, const TokenMarginal& tokens,
                                     const at::Tensor& sigma, const PivotSolverOptions& options,
                                     const at::Tensor& kappa) {
  if (options.max_passes < 1)
    throw Error(ErrorKind::internal, "solve_pivot_potentials: max_passes must be at least 1");
  Working w = first_point(logits, tokens, sigma, kappa, options);
  PivotSolution solution;
  solution.potentials = at::zeros_like(w.potentials);
  solution.marginal = at::zeros_like(w.marginal);
  solution.gram = at::zeros_like(w.gram);
  solution.residual = at::zeros_like(w.residual);
  solution.passes = at::zeros_like(w.passes);

  solution.longest = 1;
  solution.problem_passes = sigma.size(0);
  at::Tensor rows = w.active.nonzero().squeeze(-1);  // the one synchronisation of a pass
  while (rows.size(0) > 0 && solution.longest < options.max_passes) {
    // Copying the scores costs about half a pass: worth it once a quarter of the problems is done.
    if (4 * rows.size(0) <= 3 * w.index.size(0)) {
      finish(w, w.active.logical_not(), solution);
      w.keep(rows);
    }
    solution.longest += 1;
    solution.problem_passes += rows.size(0);
    advance(w, options.tolerance);
    rows = w.active.nonzero().squeeze(-1);
  }
  finish(w, at::ones_like(w.active), solution);
  solution.capped = solution.residual.gt(options.tolerance).sum().item<int64_t>();
  if (kappa.defined()) {
    const at::Tensor finite = kappa.masked_fill(kappa.isinf(), 0).unsqueeze(-1);
    const at::Tensor constant = mass_term(sigma, solution.potentials, finite).unsqueeze(-1);
    solution.potentials =
        at::where(finite > 0, (solution.potentials - constant).to(sigma.scalar_type()), solution.potentials);
  }
  return solution;
}

}  // namespace lotformer::ops
