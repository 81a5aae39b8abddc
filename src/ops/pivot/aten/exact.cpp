// SPDX-License-Identifier: MIT
// The exact mode: solve, apply, and the backward pass by implicit differentiation.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "aten.h"
#include "lotformer/ops/lengths.h"
#include "problem.h"

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kNothing = -std::numeric_limits<double>::infinity();

at::Tensor centred(const at::Tensor& p, const at::Tensor& w) {  // p_ij (w_ij - sum_l p_il w_il)     [P, r, N]
  return p * (w - (p * w).sum(1, /*keepdim=*/true));
}

at::Tensor doubled(const at::Tensor& x) {
  return x.defined() ? at::cat({x, x}) : x;
}

/// torch wants every input of a function with a gradient defined: an empty tensor stands for one that is not.
at::Tensor or_empty(const at::Tensor& x, const at::Tensor& like) {
  return x.defined() ? x : at::empty({0}, like.options().requires_grad(false));
}
at::Tensor unless_empty(const at::Tensor& x) {
  return x.numel() > 0 ? x : at::Tensor();
}

/// kappa of P problems, made ready; all undefined where every marginal is held.
struct Relaxed {
  explicit Relaxed(const at::Tensor& kappa) {
    if (!kappa.defined()) return;
    free = kappa.isinf().unsqueeze(-1);
    finite = kappa.unsqueeze(-1).masked_fill(free, 0);
    held = kappa.eq(0).unsqueeze(-1);
  }
  at::Tensor free, finite, held;  // [P, 1]
};

/// `x` where the marginal is held, `otherwise` where it is relaxed.
at::Tensor if_held(const Relaxed& relaxed, const at::Tensor& x, const at::Tensor& otherwise) {
  return relaxed.held.defined() ? at::where(relaxed.held, x, otherwise) : x;
}

/// lambda of ((1 + kappa) diag(c) - G) lambda = tau; 0 where h does not move. Where the matrix is singular
/// beyond the jitter every p_i is one-hot; the softmax derivative p (w - p.w) then vanishes together with tau
/// and 0 is the answer.
at::Tensor multipliers(const at::Tensor& marginal, const at::Tensor& gram, const at::Tensor& tau,
                       const Relaxed& relaxed) {
  at::Tensor solved;
  const at::Tensor lambda = solve_pivot_system(marginal, gram, tau, {}, solved, relaxed.finite);
  at::Tensor moves = solved.unsqueeze(-1);
  if (relaxed.free.defined()) moves = moves.logical_and(relaxed.free.logical_not());
  return at::where(moves, lambda, at::zeros_like(lambda));
}

/// What h = h(sigma, kappa) adds to the gradients, from lambda.
struct MarginalGradient {
  MarginalGradient(const at::Tensor& lambda, const at::Tensor& marginal, const at::Tensor& sigma,
                   const at::Tensor& potentials, const Relaxed& relaxed) {
    const at::Tensor flow = lambda * marginal;
    sigma_part = if_held(relaxed, lambda, flow / sigma.clamp_min(1e-37));
    if (relaxed.held.defined()) kappa_part = -(flow * potentials).sum(-1);
  }
  at::Tensor sigma_part;  // [P, r]
  at::Tensor kappa_part;  // [P] or undefined
};

/// Both sides of P problems: logits [2P, r, N], first half queries, second half keys.
at::Tensor both_logits(const at::Tensor& z, const at::Tensor& q, const at::Tensor& k) {
  return at::cat({at::bmm(z, q.transpose(1, 2)), at::bmm(z, k.transpose(1, 2))});
}

/// R, the identity for relaxed problems.
at::Tensor rounding_of(const PivotSolution& solution, const at::Tensor& sigma, const at::Tensor& kappa) {
  const at::Tensor rounding = rounding_matrix(solution.marginal, sigma);
  if (!kappa.defined()) return rounding;
  return at::where(kappa.eq(0).view({-1, 1, 1}), rounding, at::eye(sigma.size(1), sigma.options()));
}

/// softmax over real tokens [P, r, N].
at::Tensor pivot_choices(const at::Tensor& logits, const TokenMarginal& tokens) {
  return at::softmax(tokens.real.defined() ? logits.masked_fill(tokens.real.eq(0), kNothing) : logits, -1);
}

at::Tensor half(const at::Tensor& x, int64_t which) {
  return x.defined() ? x.narrow(0, which * (x.size(0) / 2), x.size(0) / 2) : x;
}

/// The summary values of the pivots.
struct Pooled {
  at::Tensor mass;    // [P, r, 1]
  at::Tensor values;  // U [P, r, D]
};

/// U = weighted means of V, the weights of each pivot summing to 1 because they are divided by their own
/// mass.
Pooled pool(const at::Tensor& p, const at::Tensor& marginal, const at::Tensor& rounding, const at::Tensor& v,
            const TokenMarginal& tokens) {
  const at::Tensor summed = tokens.mean_product(p, v);  // Y [P, r, D]
  const at::Tensor to_pivots = rounding.transpose(1, 2);
  // A pivot mass that underflows passes on nothing instead of 0 / 0.
  const at::Tensor mass = at::bmm(to_pivots, marginal.unsqueeze(-1)).clamp_min(1e-37);
  return {mass, at::bmm(to_pivots, summed) / mass};
}

/// What the key side hands back, from dU.
struct KeyGradients {
  at::Tensor k, v, z, sigma, kappa;
  at::Tensor masses;  // [P, N], undefined without masses
};

struct Solved {
  at::Tensor potentials, marginal, gram, rounding;
};

KeyGradients key_gradients(const at::Tensor& d_pooled, const at::Tensor& own, const at::Tensor& mass,
                           const at::Tensor& k, const at::Tensor& v, const at::Tensor& z,
                           const at::Tensor& sigma, const Solved& s, const TokenMarginal& tokens,
                           const Relaxed& relaxed) {
  const at::Tensor a = tokens.a();  // [P, 1, N] or [P, 1, 1]
  const at::Tensor e = at::bmm(s.rounding, d_pooled / mass);
  const at::Tensor p = pivot_probabilities(at::bmm(z, k.transpose(1, 2)), s.potentials, tokens);
  KeyGradients d;
  d.v = tokens.masses.defined() ? at::bmm((p * a).transpose(1, 2), e)
                                : at::bmm(p.transpose(1, 2), e) * tokens.share.unsqueeze(-1);
  at::Tensor x = at::bmm(e, v.transpose(1, 2));  // x_kj = V_k . E_j
  // A held mass is sigma; a relaxed one moves with the scores, and U = Y / c with it.
  if (relaxed.held.defined()) x = x - own.masked_fill(relaxed.held, 0).unsqueeze(-1);
  at::Tensor t = centred(p, x);
  const at::Tensor lambda = multipliers(s.marginal, s.gram, tokens.mean(t), relaxed);
  t = a * (t - centred(p, lambda.unsqueeze(-1)));
  // A mass stands in U and in c', each time as a_k p_kj.
  if (tokens.masses.defined()) d.masses = (p * (x - lambda.unsqueeze(-1))).sum(1);
  const MarginalGradient through_h(lambda, s.marginal, sigma, s.potentials, relaxed);
  d.k = at::bmm(t.transpose(1, 2), z);
  d.z = at::bmm(t, k);
  d.sigma = through_h.sigma_part - if_held(relaxed, own, at::zeros_like(own));
  d.kappa = through_h.kappa_part;
  return d;
}

/// The same where every pivot takes its weights from a softmax over tokens: no potential, no mass.
KeyGradients free_key_gradients(const at::Tensor& d_pooled, const at::Tensor& own, const at::Tensor& k,
                                const at::Tensor& v, const at::Tensor& z, const TokenMarginal& tokens) {
  const at::Tensor weights = pivot_choices(at::bmm(z, k.transpose(1, 2)), tokens);
  const at::Tensor t = weights * (at::bmm(d_pooled, v.transpose(1, 2)) - own.unsqueeze(-1));
  return {at::bmm(t.transpose(1, 2), z),
          at::bmm(weights.transpose(1, 2), d_pooled),
          at::bmm(t, k),
          at::zeros_like(own),
          {},
          {}};
}

/// P problems; q, k, v [P, N, D], z = pivots D^(-1/2) / epsilon [P, r, D], sigma [P, r], kappa [2P] or empty,
/// token masses [P, N] of a side or empty. Values at padding are finite, upstream gradients there are zero.
/// First half of a stacked tensor = query side, second half = key side.
struct PivotAttention : torch::autograd::Function<PivotAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const at::Tensor& z, const at::Tensor& sigma,
                            const at::Tensor& kappa_or_empty, const at::Tensor& query_masses_or_empty,
                            const at::Tensor& key_masses_or_empty, const TokenMarginal& tokens,
                            bool keys_by_pivot, const PivotSolverOptions& options, PivotSolveStats* stats) {
    const at::Tensor kappa = unless_empty(kappa_or_empty), query_masses = unless_empty(query_masses_or_empty),
                     key_masses = unless_empty(key_masses_or_empty);
    const TokenMarginal both = both_marginals(tokens, query_masses, key_masses);
    const at::Tensor logits = both_logits(z, q, k);
    const PivotSolution solution = solve_pivot_potentials(logits, both, doubled(sigma), options, kappa);
    if (stats) {
      *stats = {2 * q.size(0),   solution.problem_passes, solution.longest,
                solution.capped, solution.residual,       {},
                options};
    }
    const at::Tensor rounding = rounding_of(solution, doubled(sigma), kappa);  // [2P, r, r]
    Pooled keys;
    if (keys_by_pivot) {
      keys.mass = at::ones_like(sigma).unsqueeze(-1);
      keys.values = at::bmm(pivot_choices(half(logits, 1), tokens), v);
    } else {
      keys = pool(pivot_probabilities(half(logits, 1), half(solution.potentials, 1), tokens),
                  half(solution.marginal, 1), half(rounding, 1), v, side_marginal(tokens, key_masses));
    }
    // Query side: O = (p R) U.
    const at::Tensor mixed = at::bmm(half(rounding, 0), keys.values);  // W = R U
    const at::Tensor p_query = pivot_probabilities(half(logits, 0), half(solution.potentials, 0), tokens);
    ctx->saved_data["keys_by_pivot"] = keys_by_pivot;
    ctx->save_for_backward({q, k, v, z, tokens.real, tokens.share, solution.potentials, solution.marginal,
                            solution.gram, rounding, keys.mass, keys.values, mixed, sigma, kappa,
                            query_masses, key_masses});
    return at::bmm(p_query.transpose(1, 2), mixed);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &z = saved[3], &potentials = saved[6],
                     &marginal = saved[7], &gram = saved[8], &rounding = saved[9], &mass = saved[10],
                     &pooled = saved[11], &mixed = saved[12], &sigma = saved[13], &kappa = saved[14];
    const TokenMarginal tokens{saved[4], saved[5], {}}, queries = side_marginal(tokens, saved[15]);
    const at::Tensor d_out = upstream[0];

    // Query side: w_ij = dO_i . W_j.
    const Relaxed relaxed(half(kappa, 0));
    const at::Tensor p = pivot_probabilities(at::bmm(z, q.transpose(1, 2)), half(potentials, 0), tokens);
    at::Tensor t = centred(p, at::bmm(mixed, d_out.transpose(1, 2)));
    const at::Tensor lambda = multipliers(half(marginal, 0), half(gram, 0), t.sum(-1), relaxed);
    const at::Tensor d_pooled =
        at::bmm(half(rounding, 0).transpose(1, 2), at::bmm(p, d_out));  // dU [P, r, D]
    t -= queries.a() * centred(p, lambda.unsqueeze(-1));                // d logits
    const at::Tensor d_query_masses =
        queries.masses.defined() ? -(p * lambda.unsqueeze(-1)).sum(1) : at::Tensor();
    const MarginalGradient query(lambda, half(marginal, 0), sigma, half(potentials, 0), relaxed);

    const at::Tensor own = (d_pooled * pooled).sum(-1) / mass.squeeze(-1);  // dU_j . U_j / mass_j [P, r]
    const KeyGradients key =
        ctx->saved_data["keys_by_pivot"].toBool()
            ? free_key_gradients(d_pooled, own, k, v, z, tokens)
            : key_gradients(d_pooled, own, mass, k, v, z, sigma,
                            {half(potentials, 1), half(marginal, 1), half(gram, 1), half(rounding, 1)},
                            side_marginal(tokens, saved[16]), Relaxed(half(kappa, 1)));
    at::Tensor d_kappa;
    if (kappa.defined())
      d_kappa =
          at::cat({query.kappa_part, key.kappa.defined() ? key.kappa : at::zeros_like(query.kappa_part)});
    return {at::bmm(t.transpose(1, 2), z),
            key.k,
            key.v,
            at::bmm(t, q) + key.z,
            query.sigma_part + key.sigma,
            d_kappa,
            d_query_masses,
            key.masses,
            {},
            {},
            {},
            {}};
  }
};

/// kappa [2P] of the two sides, undefined where both marginals are held. Differentiable.
at::Tensor kappa_of_problems(const PivotMarginals& marginals, const at::Tensor& sigma, int64_t batch) {
  if (marginals.all_held()) return {};
  const auto side = [&](const at::Tensor& kappa) {
    return kappa.defined() ? repeat_for_batch(kappa.to(sigma.options()), batch)
                           : at::zeros({batch * sigma.size(0)}, sigma.options().requires_grad(false));
  };
  const at::Tensor keys = marginals.keys_by_pivot
                              ? at::full({batch * sigma.size(0)}, std::numeric_limits<double>::infinity(),
                                         sigma.options().requires_grad(false))
                              : side(marginals.key_kappa);
  return at::cat({side(marginals.query_kappa), keys});
}

/// Masses [B, H, N] of a side as [P, N], zero at padding; a sequence without a token has them all at its
/// first place, where they carry nothing but keep the problem an ordinary one.
at::Tensor masses_of_problems(const at::Tensor& masses, const at::Tensor& mask) {
  if (!masses.defined()) return masses;
  if (!mask.defined()) return flatten_heads(masses);
  const at::Tensor empty = mask.any(-1).logical_not().view({-1, 1, 1});
  at::Tensor first = at::zeros({1, 1, masses.size(2)}, masses.options().requires_grad(false));
  if (masses.size(2) > 0) first.select(2, 0).fill_(1);
  const at::Tensor real = masses.masked_fill(mask.logical_not().unsqueeze(1), 0);
  return flatten_heads(at::where(empty, first, real));
}

}  // namespace

PivotSolveStats PivotSolveStats::counted() const {
  PivotSolveStats known = *this;
  if (!passes.defined()) return known;
  known.passes = at::Tensor();
  const at::Tensor used = passes.to(at::kCPU, at::kLong), left = residual.to(at::kCPU, at::kDouble);
  const int64_t* count = used.const_data_ptr<int64_t>();
  const double* rest = left.const_data_ptr<double>();
  for (int64_t i = 0; i < problems; ++i) {
    known.problem_passes += count[i];
    known.longest = std::max(known.longest, count[i]);
    known.capped += rest[i] > options.tolerance;
  }
  return known;
}

double PivotSolveStats::max_residual() const {
  return residual.defined() && residual.numel() > 0 ? residual.max().item<double>() : 0;
}

at::Tensor pivot::aten::exact(const PivotCall& call, PivotSolveStats* stats) {
  const at::Tensor& q = call.q;
  if (q.numel() == 0) return at::zeros_like(q);
  const at::Tensor& sigma = call.masses;
  const PivotMarginals& marginals = call.marginals;
  const at::Tensor mask = length_mask(call.lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * call.epsilon);
  const at::Tensor kappa = or_empty(kappa_of_problems(marginals, sigma, q.size(0)), sigma),
                   query_masses = or_empty(masses_of_problems(marginals.tokens.query, mask), sigma),
                   key_masses = or_empty(masses_of_problems(marginals.tokens.key, mask), sigma);
  const at::Tensor out = PivotAttention::apply(
      flatten_heads(select_real_tokens(q, mask)), flatten_heads(select_real_tokens(call.k, mask)),
      flatten_heads(select_real_tokens(call.v, mask)), repeat_for_batch(call.pivots * scale, q.size(0)),
      repeat_for_batch(sigma, q.size(0)), kappa, query_masses, key_masses, tokens, marginals.keys_by_pivot,
      call.solver, stats);
  return select_real_tokens(out.unflatten(0, {q.size(0), q.size(1)}), mask);
}

PivotPlans pivot::aten::exact_plans(const PivotCall& call) {
  const at::Tensor& q = call.q;
  const PivotMarginals& marginals = call.marginals;
  const at::Tensor mask = length_mask(call.lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * call.epsilon);
  const at::Tensor masses = repeat_for_batch(call.masses, q.size(0));
  const at::Tensor logits = both_logits(repeat_for_batch(call.pivots * scale, q.size(0)),
                                        flatten_heads(select_real_tokens(q, mask)),
                                        flatten_heads(select_real_tokens(call.k, mask)));
  const at::Tensor kappa = kappa_of_problems(marginals, call.masses, q.size(0));
  const TokenMarginal both = both_marginals(tokens, masses_of_problems(marginals.tokens.query, mask),
                                            masses_of_problems(marginals.tokens.key, mask));
  const PivotSolution solution = solve_pivot_potentials(logits, both, doubled(masses), call.solver, kappa);
  const at::Tensor rounding = rounding_of(solution, doubled(masses), kappa).transpose(1, 2);
  const at::Tensor conditional = at::bmm(rounding, pivot_probabilities(logits, solution.potentials, both));
  const at::Tensor plans = conditional * (both.masses.defined() ? both.masses : both.share.unsqueeze(-1));
  const auto side = [&](const at::Tensor& plan) {
    return select_real_columns(plan.unflatten(0, {q.size(0), q.size(1)}), mask);
  };
  if (!marginals.keys_by_pivot) return {side(half(plans, 0)), side(half(plans, 1))};
  return {side(half(plans, 0)), side(masses.unsqueeze(-1) * pivot_choices(half(logits, 1), tokens))};
}

}  // namespace lotformer::ops
