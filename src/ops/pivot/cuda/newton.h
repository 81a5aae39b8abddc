// SPDX-License-Identifier: MIT
// Decisions of the solver, taken by warp 0 of every CTA on equal bits (the definition is src/ops/pivot/aten/solver.cpp; docs/lotformer.md).
// All potentials in powers of two, and with them the dual and the divergence.
#pragma once

#include "system.h"
#include "tiles.h"

namespace lotformer::ops::pivot::cuda {

constexpr float kDualNoise = 1e-4f;     // below it a difference of duals is rounding
constexpr float kLeastDamping = 1e-5f;  // smallest 1 - theta with a meaning in float32
constexpr float kLongestStep = 100;     // of a Sinkhorn step on a pivot that received no mass
constexpr float kLeastProgress = 0.99f;

PIVOT_DEVICE float safe_log2(float x) {
  return log2f(fmaxf(x, kTiny));
}

/// shared.trial := value(j), with the factors of the scaling form. Warp 0 only; a CTA barrier must follow.
template <class L, class F>
PIVOT_DEVICE void set_trial(const Cta<L>& cta, int pivots, bool resident, F value) {
  Shared<L>& sm = cta.shared;
  const float high = column_max(cta, pivots, value);
  const float low = -column_max(cta, pivots, [&](int j) { return -value(j); });
  for_columns(cta, L::R, [&](int j) {
    sm.trial[j] = j < pivots ? value(j) : 0.0f;
    sm.weight[j] = j < pivots ? exp2f(value(j) - high) : 0.0f;
  });
  if (cta.lane == 0 && resident && !(high - low < kWidestSpread)) sm.control.flagged = 1;
}

/// What c(h) is to become: sigma where the marginal is held, b_j = sigma_j 2^(-kappa h_j) / sum where it is relaxed.
struct Target {
  float kappa, lowest, log_mass;  // log2 sum_j sigma_j 2^(-kappa (h_j - lowest))

  template <class L>
  PIVOT_DEVICE float log_b(const Shared<L>& sm, int j, float h) const {
    const float log_sigma = safe_log2(sm.sigma[j]);
    return kappa > 0 ? log_sigma - kappa * (h - lowest) - log_mass : log_sigma;
  }
  /// -(1/kappa) log2 sum_j sigma_j 2^(-kappa h_j)
  PIVOT_DEVICE float dual() const { return lowest - log_mass / kappa; }
};

/// At potentials value(j). Two forms of the sum, each where it is accurate: a small kappa divides the rounding of differences from 1.
/// Warp 0 only.
template <class L, class F>
PIVOT_DEVICE Target target_at(const Cta<L>& cta, int pivots, F value) {
  const Shared<L>& sm = cta.shared;
  const float kappa = sm.control.kappa;
  if (!(kappa > 0)) return {0, 0, 0};
  const float lowest = -column_max(cta, pivots, [&](int j) { return -value(j); });
  if (kappa * (column_max(cta, pivots, value) - lowest) < 0.7f) {
    const float loss = column_sum(
        cta, pivots, [&](int j) { return sm.sigma[j] * expm1f(-kLn2 * kappa * (value(j) - lowest)); });
    return {kappa, lowest, log1pf(loss) / kLn2};
  }
  const float mass =
      column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * exp2f(-kappa * (value(j) - lowest)); });
  return {kappa, lowest, safe_log2(mass)};
}

/// log2(b / c) of the accepted point.
template <class L>
PIVOT_DEVICE float log_ratio(const Shared<L>& sm, int j) {
  return fminf(sm.log_b[j] - safe_log2(sm.marginal[j]), kLongestStep);
}

/// What a Sinkhorn step from the evaluated trial is sure to add to the dual (docs/lotformer.md). Warp 0 only.
template <class L>
PIVOT_DEVICE float sure_gain(const Cta<L>& cta, int pivots, const Target& target) {
  const Shared<L>& sm = cta.shared;
  const auto ratio = [&](int j) {
    return fminf(target.log_b(sm, j, sm.trial[j]) - fmaxf(sm.log_c[j], -kLongestStep), kLongestStep);
  };
  const float kappa = target.kappa;
  if (!(kappa > 0)) return column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * ratio(j); });
  const float loss = column_sum(cta, pivots, [&](int j) {
    return exp2f(target.log_b(sm, j, sm.trial[j])) * expm1f(-kLn2 * kappa / (1 + kappa) * ratio(j));
  });
  return -(1 + kappa) / kappa * log1pf(loss) / kLn2;
}

/// Right-hand side of Newton's step. Warp 0 only.
template <class L>
PIVOT_DEVICE void set_right_side(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  for_columns(cta, pivots, [&](int j) { sm.x[j] = sm.marginal[j] * log_ratio(sm, j); });
}

/// shared.trial := accepted point + step, mean zero. Warp 0 only.
template <class L>
PIVOT_DEVICE void propose(const Cta<L>& cta, int pivots, bool resident, bool newton) {
  Shared<L>& sm = cta.shared;
  const auto moved = [&](int j) {
    return sm.h[j] + (newton ? sm.x[j] : log_ratio(sm, j) / (1 + sm.control.kappa));
  };
  const float mean = column_sum(cta, pivots, moved) / static_cast<float>(pivots);
  set_trial(cta, pivots, resident, [&](int j) { return moved(j) - mean; });
}

/// Accepts or rejects the evaluated trial and sets the damping. Warp 0 only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE void decide(const Cta<L>& cta, int pivots, bool resident, float tolerance) {
  Shared<L>& sm = cta.shared;
  Control next = sm.control;
  const float high = resident ? column_max(cta, pivots, [&](int j) { return sm.trial[j]; }) : 0.0f;
  const Target target = target_at(cta, pivots, [&](int j) { return sm.trial[j]; });
  const bool relaxed = target.kappa > 0;
  const float linear =
      relaxed ? target.dual() : column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * sm.trial[j]; });
  const float dual = linear - high - sm.total[L::R];
  const float distance = column_sum(cta, pivots, [&](int j) {
    return fabsf(exp2f(sm.log_c[j]) - (relaxed ? exp2f(target.log_b(sm, j, sm.trial[j])) : sm.sigma[j]));
  });
  const float residual = next.free ? 0.0f : distance;  // one evaluation is all that a free side needs
  const bool first = next.passes == 0;
  const bool gained = next.divergence > kDualNoise ? dual - next.dual >= next.divergence
                                                   : residual <= kLeastProgress * next.residual;
  const bool accepted = first || next.sinkhorn || residual <= 0.5f * next.best || gained;
  next.passes += 1;
  next.accepted = accepted;
  if (accepted) {
    for_columns(cta, pivots, [&](int j) {
      sm.h[j] = sm.trial[j];
      sm.marginal[j] = exp2f(sm.log_c[j]);
      sm.log_b[j] = target.log_b(sm, j, sm.trial[j]);
    });
    next.divergence = sure_gain(cta, pivots, target);
    next.dual = dual;
    next.residual = residual;
    next.best = first ? residual : fminf(next.best, residual);
    next.omega = first ? 0.1f : next.sinkhorn ? fminf(next.omega, 0.3f) : 0.1f * next.omega;
    next.sinkhorn = first;  // a cold start begins with a Sinkhorn step
    next.failures = 0;
  } else {
    const float raised = 10 * fmaxf(next.omega, 1e-3f);
    next.sinkhorn = raised >= 1;
    next.omega = raised >= 1 ? 0.3f : raised;
    next.failures += 1;
  }
  // The floor of the precision: h itself carries a relative error of machine epsilon, and c follows it.
  const float spread =
      column_max(cta, pivots, [&](int j) { return fabsf(accepted ? sm.trial[j] : sm.h[j]); });
  const bool stalled = next.failures >= 2 && next.residual <= 16 * 1.2e-7f * (1 + spread);
  next.active = next.residual > tolerance && !stalled;  // false for NaN: such a problem is over
  if (cta.lane == 0) sm.control = next;
}

/// The constant in h, which c does not see, such that log2 c + kappa h = log2 sigma itself holds at the solution; the gradient of kappa
/// needs it. Warp 0 only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE void place_constant(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  const float constant = target_at(cta, pivots, [&](int j) { return sm.h[j]; }).dual();
  for_columns(cta, pivots, [&](int j) { sm.h[j] -= constant; });
}

}  // namespace lotformer::ops::pivot::cuda
