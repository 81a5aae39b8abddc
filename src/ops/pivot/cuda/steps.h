// SPDX-License-Identifier: MIT
// Steps from the accepted point: Sinkhorn's, Newton's (system.h), and mixed ones (../newton_rules.h), which
// look back on the points before. Warp 0 alone, each lane its columns.
#pragma once

#include "newton.h"

namespace lotformer::ops::pivot::cuda {

/// What mixed steps look back on, in Cta::scratch, where it lives as long as no Gram matrix and no system is
/// needed: Newton's steps make an end of it.
template <class L>
struct History {
  float *h, *g;                   // the point before and its Sinkhorn step [R]
  float (*differences)[2][L::R];  // of h and g to the point before it, by slot
  static constexpr int kFloats = (2 + 2 * rules::kMixed) * L::R;

  explicit PIVOT_DEVICE History(float* scratch)
      : h(scratch), g(scratch + L::R), differences(reinterpret_cast<float (*)[2][L::R]>(scratch + 2 * L::R)) {
    static_assert(kFloats <= scratch_floats<L>(32, kLeastStageRows), "no room");
  }
};

/// Puts the accepted point, from where `step` is the Sinkhorn step, beside those before.
template <class L>
PIVOT_DEVICE void remember_point(const Cta<L>& cta, int pivots, const Control& now,
                                 const float (&step)[kSlots<L>]) {
  const Shared<L>& sm = cta.shared;
  const History<L> history(cta.scratch);
  float(*difference)[L::R] = history.differences[now.newest];
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j >= pivots) continue;
    if (now.points > 1) {
      difference[0][j] = sm.h[j] - history.h[j];
      difference[1][j] = step[s] - history.g[j];
    }
    history.h[j] = sm.h[j];
    history.g[j] = step[s];
  }
}

/// From the Sinkhorn step to the mixed one.
template <class L>
PIVOT_DEVICE void mix_step(const Cta<L>& cta, int pivots, const Control& now, float (&step)[kSlots<L>]) {
  constexpr int kMixed = rules::kMixed, kPairs = kMixed * (kMixed + 1) / 2;
  const History<L> history(cta.scratch);
  float dg[kMixed][kSlots<L>], sums[kPairs + kMixed] = {};
  int slot[kMixed];
  PIVOT_UNROLL
  for (int a = 0; a < kMixed; ++a) {
    slot[a] = now.newest < a ? now.newest - a + kMixed : now.newest - a;
    PIVOT_UNROLL
    for (int s = 0; s < kSlots<L>; ++s) {
      const int j = s * kWarp + cta.lane;
      dg[a][s] = a < now.points - 1 && j < pivots ? history.differences[slot[a]][1][j] : 0.0f;
    }
  }
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    int pair = 0;
    PIVOT_UNROLL
    for (int a = 0; a < kMixed; ++a) {
      PIVOT_UNROLL
      for (int b = a; b < kMixed; ++b, ++pair) sums[pair] = fmaf(dg[a][s], dg[b][s], sums[pair]);
      sums[kPairs + a] = fmaf(dg[a][s], step[s], sums[kPairs + a]);
    }
  }
  warp_reduce<kPairs + kMixed>(sums);
  float products[kMixed][kMixed] = {}, right[kMixed], weights[kMixed];
  int pair = 0;
  PIVOT_UNROLL
  for (int a = 0; a < kMixed; ++a) {
    PIVOT_UNROLL
    for (int b = a; b < kMixed; ++b, ++pair) products[a][b] = sums[pair];
    right[a] = sums[kPairs + a];
  }
  rules::mixed_weights(products, right, weights);
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    PIVOT_UNROLL
    for (int a = 0; a < kMixed; ++a) {
      if (a >= now.points - 1 || j >= pivots) continue;
      step[s] -= weights[a] * (history.differences[slot[a]][0][j] + dg[a][s]);
    }
    step[s] = rules::bounded<Limits>(step[s]);
  }
}

/// shared.trial := accepted point + `step` of the calling lane's columns, mean zero; or, `absolute`, `step`
/// itself.
template <class L>
PIVOT_DEVICE void show_trial(const Cta<L>& cta, int pivots, bool resident, bool absolute,
                             float (&step)[kSlots<L>]) {
  Shared<L>& sm = cta.shared;
  float ends[] = {0, kNoScore, kNoScore};
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j >= pivots) continue;
    if (!absolute) step[s] += sm.h[j];
    ends[0] += step[s];
    ends[1] = fmaxf(ends[1], step[s]);
    ends[2] = fmaxf(ends[2], -step[s]);
  }
  warp_reduce</*kSums=*/1>(ends);
  const float mean = absolute ? 0.0f : ends[0] / static_cast<float>(pivots);
  const float high = ends[1] - mean, low = -ends[2] - mean;  // rounded as the numbers themselves are
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j >= L::R) continue;
    const float trial = step[s] - mean;
    sm.trial[j] = j < pivots ? trial : 0.0f;
    sm.weight[j] = j < pivots ? exp2f(trial - high) : 0.0f;
  }
  if (cta.lane == 0 && resident && !(high - low < kWidestSpread)) sm.control.flagged = 1;
}

/// Newton's step is in shared.x; where its system was not `solved`, the Sinkhorn step takes its place. Warp 0
/// only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE void propose_newton(const Cta<L>& cta, int pivots, bool resident, bool solved) {
  Shared<L>& sm = cta.shared;
  const float constant = column_sum(cta, pivots, [&](int j) { return sm.marginal[j] * sm.x[j]; });
  float step[kSlots<L>] = {};
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < pivots)
      step[s] = solved ? rules::bounded<Limits>(sm.x[j] - constant) : sm.ratio[j] / (1 + sm.control.kappa);
  }
  show_trial(cta, pivots, resident, /*absolute=*/false, step);
  // Whoever read the decisions has passed the system's barriers.
  if (cta.lane == 0 && !solved) sm.control.step = Step::sinkhorn;
}

/// The point after `now.step`, which is not Newton's. Warp 0 only; a CTA barrier must follow.
template <class L>
PIVOT_DEVICE void propose(const Cta<L>& cta, const PivotArgs& p, bool resident, const Control& now) {
  const Shared<L>& sm = cta.shared;
  const bool back = now.step == Step::back;
  float step[kSlots<L>] = {};
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < p.pivots) step[s] = back ? sm.lowest[j] : sm.ratio[j] / (1 + now.kappa);
  }
  if (!back && p.newton_price > 1) {
    remember_point(cta, p.pivots, now, step);
    if (now.step == Step::mixed) mix_step(cta, p.pivots, now, step);
  }
  show_trial(cta, p.pivots, resident, back, step);
}

}  // namespace lotformer::ops::pivot::cuda
