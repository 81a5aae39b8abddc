// SPDX-License-Identifier: MIT
// Decisions of the solver by the rules of ../newton_rules.h, taken by warp 0 of every CTA on equal bits
// (docs/lotformer.md). All potentials in powers of two, and with them the dual and the divergence.
#pragma once

#include "system.h"
#include "tiles.h"

namespace lotformer::ops::pivot::cuda {

using Limits = rules::Limits<float, rules::PowersOfTwo, float>;

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

/// What c(h) is to become: sigma where the marginal is held, b_j = sigma_j 2^(-kappa h_j) / sum where it is
/// relaxed.
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

/// At potentials value(j). Two forms of the sum, each where it is accurate: a small kappa divides the
/// rounding of differences from 1. Warp 0 only.
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
  return sm.log_b[j] - safe_log2(sm.marginal[j]);
}

/// What a Sinkhorn step from the accepted point is sure to add to the dual (docs/lotformer.md). Warp 0 only.
template <class L>
PIVOT_DEVICE float sure_gain(const Cta<L>& cta, int pivots) {
  const Shared<L>& sm = cta.shared;
  const float kappa = sm.control.kappa;
  if (!(kappa > 0)) return column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * log_ratio(sm, j); });
  const float loss = column_sum(cta, pivots, [&](int j) {
    return exp2f(sm.log_b[j]) * expm1f(-kLn2 * kappa / (1 + kappa) * log_ratio(sm, j));
  });
  return -(1 + kappa) / kappa * log1pf(loss) / kLn2;
}

/// Right-hand side of Newton's step. Warp 0 only.
template <class L>
PIVOT_DEVICE void set_right_side(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  for_columns(cta, pivots, [&](int j) { sm.x[j] = sm.marginal[j] * log_ratio(sm, j); });
}

enum class Step { newton, sinkhorn, back };

/// shared.trial := accepted point + step, mean zero, or back: the point of the smallest residual, bit for
/// bit. Warp 0 only.
template <class L>
PIVOT_DEVICE void propose(const Cta<L>& cta, int pivots, bool resident, Step step) {
  Shared<L>& sm = cta.shared;
  const float constant =
      step == Step::newton ? column_sum(cta, pivots, [&](int j) { return sm.marginal[j] * sm.x[j]; }) : 0.0f;
  for_columns(cta, pivots, [&](int j) {
    const float moved = step == Step::newton ? rules::bounded<Limits>(sm.x[j] - constant)
                                             : log_ratio(sm, j) / (1 + sm.control.kappa);
    sm.x[j] = step == Step::back ? sm.lowest[j] : sm.h[j] + moved;
  });
  const float sum = column_sum(cta, pivots, [&](int j) { return sm.x[j]; });
  const float mean = step == Step::back ? 0.0f : sum / static_cast<float>(pivots);
  set_trial(cta, pivots, resident, [&](int j) { return sm.x[j] - mean; });
  // News only where Newton's system was not solved. Whoever read the decisions has passed its barriers then.
  if (cta.lane == 0 && step == Step::sinkhorn) sm.control.course.sinkhorn = 1;
}

/// The evaluated trial.
struct Measured {
  float dual, residual;
};

template <class L>
PIVOT_DEVICE Measured measure(const Cta<L>& cta, int pivots, bool resident, const Target& target) {
  const Shared<L>& sm = cta.shared;
  const float high = resident ? column_max(cta, pivots, [&](int j) { return sm.trial[j]; }) : 0.0f;
  const bool relaxed = target.kappa > 0;
  const float linear =
      relaxed ? target.dual() : column_sum(cta, pivots, [&](int j) { return sm.sigma[j] * sm.trial[j]; });
  const float distance = column_sum(cta, pivots, [&](int j) {
    return fabsf(exp2f(sm.log_c[j]) - (relaxed ? exp2f(target.log_b(sm, j, sm.trial[j])) : sm.sigma[j]));
  });
  // One evaluation is all that a free side needs.
  return {linear - high - sm.total[L::R], sm.control.free ? 0.0f : distance};
}

/// Accepts or rejects the evaluated trial, sets the damping, and says how it goes on. Warp 0 only; a CTA
/// barrier must follow.
template <class L>
PIVOT_DEVICE void decide(const Cta<L>& cta, const PivotArgs& p, bool resident) {
  Shared<L>& sm = cta.shared;
  const int pivots = p.pivots;
  Control next = sm.control;
  const Target target = target_at(cta, pivots, [&](int j) { return sm.trial[j]; });
  const Measured at = measure(cta, pivots, resident, target);
  const bool first = next.passes == 0, back = next.returning;
  const rules::Trial<float> trial{at.residual, at.dual - next.dual, next.sure, next.course.sinkhorn != 0};
  next.accepted = first || back || rules::accepts<Limits>(next.course, trial, next.residual, p.tolerance);
  if (!back) next.passes += 1;
  if (first || rules::lowers(at.residual, next.lowest)) {
    next.lowest = at.residual;
    for_columns(cta, pivots, [&](int j) { sm.lowest[j] = sm.trial[j]; });
  }
  if (first) {
    next.course = rules::first_course(at.residual, /*cold=*/true);
  } else if (next.accepted) {
    rules::note_accepted(next.course, trial);
  } else {
    rules::note_rejected(next.course);
  }
  if (rules::sinkhorn_only(p.max_passes, static_cast<float>(cta.rows.real), pivots)) next.course.sinkhorn = 1;
  if (next.accepted) {
    for_columns(cta, pivots, [&](int j) {
      sm.h[j] = sm.trial[j];
      sm.marginal[j] = exp2f(sm.log_c[j]);
      sm.log_b[j] = target.log_b(sm, j, sm.trial[j]);
    });
    next.sure = sure_gain(cta, pivots);
    next.dual = at.dual;
    next.residual = at.residual;
  }
  // Not const: the front end of nvcc 13.0 gives up over a const float that a lambda made and that a rule
  // takes.
  float highest = column_max(cta, pivots, [&](int j) { return fabsf(sm.h[j]); });
  next.active = !back && next.passes < p.max_passes && rules::unsolved(next.residual, p.tolerance) &&
                !rules::stalled<Limits>(next.course, next.residual, highest);
  next.returning = !back && !next.active && rules::lowers(next.lowest, next.residual);
  if (cta.lane == 0) sm.control = next;
}

/// The constant in h, which c does not see, such that log2 c + kappa h = log2 sigma itself holds at the
/// solution; the gradient of kappa needs it. Warp 0 only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE void place_constant(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  const float constant = target_at(cta, pivots, [&](int j) { return sm.h[j]; }).dual();
  for_columns(cta, pivots, [&](int j) { sm.h[j] -= constant; });
}

}  // namespace lotformer::ops::pivot::cuda
