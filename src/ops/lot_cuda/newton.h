// SPDX-License-Identifier: MIT
// Decisions of the solver, taken by warp 0 of every CTA on equal bits (the definition is src/ops/pivot_solver.cpp; docs/lotformer.md).
// All potentials in powers of two, and with them the dual and the divergence.
#pragma once

#include "system.h"
#include "tiles.h"

namespace lotformer::lot_cuda {

constexpr float kDualNoise = 1e-4f;     // below it a difference of duals is rounding
constexpr float kLeastDamping = 1e-5f;  // smallest 1 - theta with a meaning in float32
constexpr float kLongestStep = 100;     // of a Sinkhorn step on a pivot that received no mass
constexpr float kLeastProgress = 0.99f;

LOT_DEVICE float safe_log2(float x) {
  return log2f(fmaxf(x, kTiny));
}

/// shared.trial := value(j), with the factors of the scaling form. Warp 0 only; a CTA barrier must follow.
template <class L, class F>
LOT_DEVICE void set_trial(const Cta<L>& cta, int pivots, bool resident, F value) {
  Shared<L>& sm = cta.shared;
  const float high = column_max(cta, pivots, value);
  const float low = -column_max(cta, pivots, [&](int j) { return -value(j); });
  for_columns(cta, L::R, [&](int j) {
    sm.trial[j] = j < pivots ? value(j) : 0.0f;
    sm.weight[j] = j < pivots ? exp2f(value(j) - high) : 0.0f;
  });
  if (cta.lane == 0 && resident && !(high - low < kWidestSpread)) sm.control.flagged = 1;
}

/// log2(sigma / c) of the accepted point.
template <class L>
LOT_DEVICE float log_ratio(const Shared<L>& sm, int j) {
  return fminf(safe_log2(sm.sigma[j]) - safe_log2(sm.marginal[j]), kLongestStep);
}

/// Right-hand side of Newton's step. Warp 0 only.
template <class L>
LOT_DEVICE void set_right_side(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  for_columns(cta, pivots, [&](int j) { sm.x[j] = sm.marginal[j] * log_ratio(sm, j); });
}

/// shared.trial := accepted point + step, mean zero. Warp 0 only.
template <class L>
LOT_DEVICE void propose(const Cta<L>& cta, int pivots, bool resident, bool newton) {
  Shared<L>& sm = cta.shared;
  const auto moved = [&](int j) { return sm.h[j] + (newton ? sm.x[j] : log_ratio(sm, j)); };
  const float mean = column_sum(cta, pivots, moved) / static_cast<float>(pivots);
  set_trial(cta, pivots, resident, [&](int j) { return moved(j) - mean; });
}

/// Accepts or rejects the evaluated trial and sets the damping. Warp 0 only; a CTA barrier must follow.
template <class L>
LOT_DEVICE void decide(const Cta<L>& cta, int pivots, bool resident, float tolerance) {
  Shared<L>& sm = cta.shared;
  Control next = sm.control;
  const float high = resident ? column_max(cta, pivots, [&](int j) { return sm.trial[j]; }) : 0.0f;
  const float dual =
      column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * sm.trial[j]; }) - high - sm.total[L::R];
  const float residual =
      column_sum(cta, pivots, [&](int j) { return fabsf(exp2f(sm.log_c[j]) - sm.sigma[j]); });
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
    });
    next.divergence = column_sum(cta, pivots, [&](int j) {
      return sm.sigma[j] * fminf(safe_log2(sm.sigma[j]) - fmaxf(sm.log_c[j], -kLongestStep), kLongestStep);
    });
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

}  // namespace lotformer::lot_cuda
