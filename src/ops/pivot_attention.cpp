// SPDX-License-Identifier: MIT
// The exact mode: solve, apply, and the backward pass by implicit differentiation.
#include "lotformer/ops/pivot_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "lotformer/ops/lengths.h"
#include "pivot_problem.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor centred(const at::Tensor& p, const at::Tensor& w) {  // p_ij (w_ij - sum_l p_il w_il)     [P, r, N]
  return p * (w - (p * w).sum(1, /*keepdim=*/true));
}

at::Tensor doubled(const at::Tensor& x) {
  return x.defined() ? at::cat({x, x}) : x;
}

/// lambda of (diag(c) - G) lambda = tau. Where the matrix is singular beyond the jitter every p_i is one-hot;
/// the softmax derivative p (w - p.w) then vanishes together with tau and 0 is the answer.
at::Tensor multipliers(const at::Tensor& marginal, const at::Tensor& gram, const at::Tensor& tau) {
  at::Tensor solved;
  const at::Tensor lambda = solve_pivot_system(marginal, gram, tau, {}, solved);
  return at::where(solved.unsqueeze(-1), lambda, at::zeros_like(lambda));
}

/// Both sides of P problems: logits [2P, r, N], first half queries, second half keys.
at::Tensor both_logits(const at::Tensor& z, const at::Tensor& q, const at::Tensor& k) {
  return at::cat({at::bmm(z, q.transpose(1, 2)), at::bmm(z, k.transpose(1, 2))});
}

PivotSolution solve_both(const at::Tensor& logits, const TokenMarginal& tokens, const at::Tensor& sigma,
                         const PivotSolverOptions& options) {
  return solve_pivot_potentials(logits, {doubled(tokens.real), doubled(tokens.share)}, doubled(sigma),
                                options);
}

/// P problems; q, k, v [P, N, D], z = pivots D^(-1/2) / epsilon [P, r, D], sigma [P, r]. Values at padding
/// are finite, upstream gradients there are zero. First half of a stacked tensor = query side, second half = key side.
struct PivotAttention : torch::autograd::Function<PivotAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const at::Tensor& z, const at::Tensor& sigma,
                            const TokenMarginal& tokens, const PivotSolverOptions& options,
                            PivotSolveStats* stats) {
    const int64_t problems = q.size(0);
    const at::Tensor logits = both_logits(z, q, k);
    const PivotSolution solution = solve_both(logits, tokens, sigma, options);
    if (stats) {
      *stats = {2 * problems, solution.problem_passes, solution.longest, solution.capped, solution.residual};
    }
    const auto side = [&](const at::Tensor& x, int64_t which) {
      return x.narrow(0, which * problems, problems);
    };

    // Key side: U = weighted means of V, the weights of each pivot summing to 1 because they are divided by
    // their own mass.
    const at::Tensor rounding = rounding_matrix(solution.marginal, doubled(sigma));  // [2P, r, r]
    const at::Tensor p_key = pivot_probabilities(side(logits, 1), side(solution.potentials, 1), tokens);
    const at::Tensor summed = at::bmm(p_key, v) * tokens.share.unsqueeze(-1);  // Y [P, r, D]
    const at::Tensor to_pivots = side(rounding, 1).transpose(1, 2);
    const at::Tensor mass =  // [P, r, 1]; a pivot mass that underflows passes on nothing instead of 0 / 0
        at::bmm(to_pivots, side(solution.marginal, 1).unsqueeze(-1)).clamp_min(1e-37);
    const at::Tensor pooled = at::bmm(to_pivots, summed) / mass;  // U [P, r, D]

    // Query side: O = (p R) U.
    const at::Tensor mixed = at::bmm(side(rounding, 0), pooled);  // W = R U
    const at::Tensor p_query = pivot_probabilities(side(logits, 0), side(solution.potentials, 0), tokens);
    ctx->save_for_backward({q, k, v, z, tokens.real, tokens.share, solution.potentials, solution.marginal,
                            solution.gram, rounding, mass, pooled, mixed});
    return at::bmm(p_query.transpose(1, 2), mixed);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &z = saved[3], &share = saved[5],
                     &potentials = saved[6], &marginal = saved[7], &gram = saved[8], &rounding = saved[9],
                     &mass = saved[10], &pooled = saved[11], &mixed = saved[12];
    const TokenMarginal tokens{saved[4], share};
    const at::Tensor a = tokens.real.defined() ? tokens.real * share.unsqueeze(-1)
                                               : share.unsqueeze(-1);  // [P, 1, N] or [P, 1, 1]
    const int64_t problems = q.size(0);
    const auto side = [&](const at::Tensor& x, int64_t which) {
      return x.narrow(0, which * problems, problems);
    };
    const at::Tensor d_out = upstream[0];

    // Query side: w_ij = dO_i . W_j.
    at::Tensor p = pivot_probabilities(at::bmm(z, q.transpose(1, 2)), side(potentials, 0), tokens);
    at::Tensor t = centred(p, at::bmm(mixed, d_out.transpose(1, 2)));
    at::Tensor lambda = multipliers(side(marginal, 0), side(gram, 0), t.sum(-1));
    const at::Tensor d_pooled =
        at::bmm(side(rounding, 0).transpose(1, 2), at::bmm(p, d_out));  // dU [P, r, D]
    t -= a * centred(p, lambda.unsqueeze(-1));                          // d logits
    const at::Tensor d_q = at::bmm(t.transpose(1, 2), z);
    at::Tensor d_z = at::bmm(t, q);
    at::Tensor d_sigma = lambda - (d_pooled * pooled).sum(-1) / mass.squeeze(-1);

    // Key side: x_kj = V_k . E_j.
    const at::Tensor e = at::bmm(side(rounding, 1), d_pooled / mass);
    p = pivot_probabilities(at::bmm(z, k.transpose(1, 2)), side(potentials, 1), tokens);
    const at::Tensor d_v = at::bmm(p.transpose(1, 2), e) * share.unsqueeze(-1);
    t = centred(p, at::bmm(e, v.transpose(1, 2)));
    lambda = multipliers(side(marginal, 1), side(gram, 1), t.sum(-1) * share);
    t = a * (t - centred(p, lambda.unsqueeze(-1)));
    const at::Tensor d_k = at::bmm(t.transpose(1, 2), z);
    d_z += at::bmm(t, k);
    d_sigma += lambda;
    return {d_q, d_k, d_v, d_z, d_sigma, {}, {}, {}};
  }
};

}  // namespace

double PivotSolveStats::max_residual() const {
  return residual.defined() && residual.numel() > 0 ? residual.max().item<double>() : 0;
}

at::Tensor pivot_attention_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                                 double epsilon, const PivotSolverOptions& options, PivotSolveStats* stats) {
  if (stats) *stats = {};
  if (q.numel() == 0) return at::zeros_like(q);
  const at::Tensor mask = length_mask(lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * epsilon);
  const at::Tensor out = PivotAttention::apply(
      flatten_heads(select_real_tokens(q, mask)), flatten_heads(select_real_tokens(k, mask)),
      flatten_heads(select_real_tokens(v, mask)), repeat_for_batch(pivots * scale, q.size(0)),
      repeat_for_batch(sigma, q.size(0)), tokens, options, stats);
  return select_real_tokens(out.unflatten(0, {q.size(0), q.size(1)}), mask);
}

PivotPlans pivot_plans_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& pivots,
                             const at::Tensor& sigma, const at::Tensor& lengths, double epsilon,
                             const PivotSolverOptions& options) {
  const at::Tensor mask = length_mask(lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * epsilon);
  const at::Tensor masses = repeat_for_batch(sigma, q.size(0));
  const at::Tensor logits =
      both_logits(repeat_for_batch(pivots * scale, q.size(0)), flatten_heads(select_real_tokens(q, mask)),
                  flatten_heads(select_real_tokens(k, mask)));
  const PivotSolution solution = solve_both(logits, tokens, masses, options);
  const TokenMarginal both{doubled(tokens.real), doubled(tokens.share)};
  const at::Tensor rounding = rounding_matrix(solution.marginal, doubled(masses)).transpose(1, 2);
  const at::Tensor plans =
      at::bmm(rounding, pivot_probabilities(logits, solution.potentials, both)) * both.share.unsqueeze(-1);
  const auto side = [&](int64_t which) {
    const at::Tensor half = plans.narrow(0, which * masses.size(0), masses.size(0));
    return select_real_columns(half.unflatten(0, {q.size(0), q.size(1)}), mask);
  };
  return {side(0), side(1)};
}

}  // namespace lotformer::ops
