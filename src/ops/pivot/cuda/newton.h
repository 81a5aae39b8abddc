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
constexpr float kLogTiny = -99.657843f;  // of kTiny

/// shared.trial := value(j), with the factors of the scaling form. Warp 0 only; a CTA barrier must follow.
template <class L, class F>
PIVOT_DEVICE void set_trial(const Cta<L>& cta, int pivots, bool resident, F value) {
  Shared<L>& sm = cta.shared;
  float ends[] = {kNoScore, kNoScore};
  for_columns(cta, pivots, [&](int j) {
    ends[0] = fmaxf(ends[0], value(j));
    ends[1] = fmaxf(ends[1], -value(j));
  });
  warp_reduce</*kSums=*/0>(ends);
  for_columns(cta, L::R, [&](int j) {
    sm.trial[j] = j < pivots ? value(j) : 0.0f;
    sm.weight[j] = j < pivots ? exp2f(value(j) - ends[0]) : 0.0f;
  });
  if (cta.lane == 0 && resident && !(ends[0] + ends[1] < kWidestSpread)) sm.control.flagged = 1;
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

/// What an evaluation of the trial tells, the same on all lanes. sure: what a Sinkhorn step from it is sure
/// to add to the dual (docs/lotformer.md).
struct Measured {
  float dual, residual, sure;
  bool failed;
};

/// A column of the trial.
struct Column {
  float c, log_b, ratio;  // ratio: log2(b / c)
};
template <class L>
PIVOT_DEVICE Column column_of_trial(const Shared<L>& sm, const Target& target, int j) {
  const float log_c = sm.log_c[j], log_b = target.log_b(sm, j, sm.trial[j]);
  return {exp2f(log_c), log_b, log_b - fmaxf(log_c, kLogTiny)};
}

/// Sums of a relaxed column: residual and gain.
PIVOT_DEVICE Pair relaxed_terms(const Column& column, float kappa) {
  const float b = exp2f(column.log_b);
  return {fabsf(column.c - b), b * expm1f(-kLn2 * kappa / (1 + kappa) * column.ratio)};
}
PIVOT_DEVICE Measured relaxed_measure(const Measured& sums, const Target& target) {
  const float kappa = target.kappa;
  return {target.dual(), sums.residual, -(1 + kappa) / kappa * log1pf(sums.sure) / kLn2, sums.failed};
}

/// `failed`: a column of the lane has left the range of float32. Warp 0 only.
template <class L>
PIVOT_DEVICE Measured measure(const Cta<L>& cta, int pivots, bool resident, bool failed,
                              const Target& target) {
  const Shared<L>& sm = cta.shared;
  const bool relaxed = target.kappa > 0;
  float sums[] = {0, 0, 0, failed ? 1.0f : 0.0f, kNoScore};
  for_columns(cta, pivots, [&](int j) {
    const Column column = column_of_trial(sm, target, j);
    Pair terms{fabsf(column.c - sm.sigma[j]), sm.sigma[j] * column.ratio};
    if (relaxed) terms = relaxed_terms(column, target.kappa);
    sums[0] += sm.sigma[j] * sm.trial[j];
    sums[1] += terms.x;
    sums[2] += terms.y;
    sums[4] = fmaxf(sums[4], sm.trial[j]);
  });
  warp_reduce</*kSums=*/4>(sums);
  Measured at{sums[0], sums[1], sums[2], sums[3] > 0};
  if (relaxed) at = relaxed_measure(at, target);
  at.dual -= (resident ? sums[4] : 0.0f) + sm.total[L::R];
  if (sm.control.free) at.residual = 0;  // one evaluation is all that a free side needs
  return at;
}

/// Right-hand side of Newton's step. Warp 0 only.
template <class L>
PIVOT_DEVICE void set_right_side(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  for_columns(cta, pivots, [&](int j) { sm.x[j] = sm.marginal[j] * sm.ratio[j]; });
}

/// Takes note of the evaluated trial; says in `next.accepted` what becomes of it.
PIVOT_DEVICE void judge(Control& next, const Measured& at, float tolerance) {
  const bool back = next.step == Step::back, newton = next.step == Step::newton;
  if (next.passes == 0) {
    next.course = rules::first_course(at.residual, /*cold=*/true);
    next.accepted = 1;
    return;
  }
  rules::Trial<float> trial{at.residual, at.dual - next.dual, next.sure, next.step == Step::sinkhorn};
  next.accepted = back || rules::accepts<Limits>(next.course, trial, next.residual, tolerance);
  trial.sinkhorn = !newton;  // the damping is Newton's
  if (next.accepted) {
    rules::note_accepted(next.course, trial);
    if (!newton) rules::note_pace(next.pace, at.residual / next.residual);
  } else if (newton) {
    rules::note_rejected(next.course);
  } else {
    rules::note_mixed_rejected(next.course);
  }
}

/// The kind of the step from the accepted point, and the points that it can look back on.
PIVOT_DEVICE void plan_step(Control& next, const PivotArgs& p) {
  const bool pays = next.course.failures > 0 || rules::newton_pays(p.newton_price, next.pace, next.residual,
                                                                   p.tolerance, p.max_passes - next.passes);
  next.step = next.course.sinkhorn ? Step::sinkhorn : pays ? Step::newton : Step::mixed;
  if (next.step == Step::newton) {
    next.points = 0;
    return;
  }
  next.points = !next.accepted ? 1 : next.points < rules::kMixed ? next.points + 1 : rules::kMixed + 1;
  if (next.points > 1 && ++next.newest >= rules::kMixed) next.newest = 0;
  if (next.points < 2) next.step = Step::sinkhorn;
}

/// Accepts or rejects the evaluated trial, sets the damping, and says how it goes on, in `control` and to
/// all lanes. Warp 0 only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE Control decide(const Cta<L>& cta, const PivotArgs& p, bool resident, bool failed) {
  Shared<L>& sm = cta.shared;
  const int pivots = p.pivots;
  Control next = sm.control;
  const Target target = target_at(cta, pivots, [&](int j) { return sm.trial[j]; });
  const Measured at = measure(cta, pivots, resident, failed, target);
  const bool first = next.passes == 0, back = next.step == Step::back;
  judge(next, at, p.tolerance);
  if (at.failed) next.flagged = 1;
  if (!back) next.passes += 1;
  if (first || rules::lowers(at.residual, next.lowest)) {
    next.lowest = at.residual;
    for_columns(cta, pivots, [&](int j) { sm.lowest[j] = sm.trial[j]; });
  }
  if (rules::sinkhorn_only(p.max_passes, static_cast<float>(cta.rows.real), pivots)) next.course.sinkhorn = 1;
  if (next.accepted) {
    for_columns(cta, pivots, [&](int j) {
      const Column column = column_of_trial(sm, target, j);
      sm.h[j] = sm.trial[j];
      sm.marginal[j] = column.c;
      sm.ratio[j] = column.ratio;
    });
    next.sure = at.sure;
    next.dual = at.dual;
    next.residual = at.residual;
  }
  bool stalled = false;
  if (next.course.failures > 1) {  // less is none
    // Not const: the front end of nvcc 13.0 gives up over a const float that a lambda made and that a rule
    // takes.
    float highest = column_max(cta, pivots, [&](int j) { return fabsf(sm.h[j]); });
    stalled = rules::stalled<Limits>(next.course, next.residual, highest);
  }
  next.active =
      !back && next.passes < p.max_passes && rules::unsolved(next.residual, p.tolerance) && !stalled;
  next.returning = !back && !next.active && rules::lowers(next.lowest, next.residual);
  if (next.active) plan_step(next, p);
  if (next.returning) next.step = Step::back;
  if (cta.lane == 0) sm.control = next;
  return next;
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
