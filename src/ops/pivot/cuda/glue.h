// SPDX-License-Identifier: MIT
// Between the two sides: from pooled values Y to what the queries average (W), and from dW back to what the
// keys see (E). A few R x D numbers in shared memory, done again by every CTA that needs them.
//
// exact:
//   W = R U, U = (R'^T Y) / (R'^T c'), with the rounding matrices R_lj = s_l [l = j] + (1 - s_l) f_j,
//   s = min(1, sigma / c), f = (sigma - c)^+ normalised: p R has pivot marginal exactly sigma
//   (docs/lotformer.md). Primes: key side. A side with a relaxed or free marginal is not rounded: R is the
//   identity.
// truncated:
//   W_j = e_j e'_j Y_j / sigma_j, e = sigma / c where the schedule ends with a pivot update, else 1
// reference:
//   the same with 1/r in the place of 1/sigma
#pragma once

#include "system.h"
#include "tiles.h"

namespace lotformer::ops::pivot::cuda {

constexpr float kLeastMass = 1e-37f;  // a pivot mass that underflows passes on nothing instead of 0 / 0

/// Loads sigma, and for mode exact c of both sides: query side into shared.marginal, key side into
/// shared.extra[0]; else the product of both e and the gluing into shared.weight, e of the two sides into
/// shared.extra. `problem` = batch * heads + head. Ends with a barrier.
template <class L>
PIVOT_DEVICE void load_gluing(const Cta<L>& cta, const PivotArgs& p, int problem) {
  Shared<L>& sm = cta.shared;
  const int j = thread_index(), problems = p.batch * p.heads;
  if (j < 2) sm.kappa[j] = relaxation_of(p, j, problem % p.heads);
  if (j < L::R) {
    const bool real = j < p.pivots;
    sm.sigma[j] = real ? p.sigma[problem % p.heads * p.pivots + j] : 0.0f;
    if (p.mode == Mode::exact) {
      sm.marginal[j] = p.marginal[static_cast<int64_t>(problem) * L::R + j];
      sm.extra[0][j] = p.marginal[static_cast<int64_t>(problems + problem) * L::R + j];
    } else {
      float product = p.mode == Mode::reference ? 1.0f / static_cast<float>(p.pivots)
                                                : 1.0f / fmaxf(sm.sigma[j], kLeastMass);
      for (int side = 0; side < 2; ++side) {
        const Schedule s = schedule_of(p.half_iterations, side);
        const float* h = p.potentials +
                         (static_cast<int64_t>(side * problems + problem) * (p.steps + 1) + s.at) * L::R + j;
        sm.extra[side][j] = s.pivot_last ? exp2f(h[L::R] - h[0]) : 1.0f;
        product *= sm.extra[side][j];
      }
      sm.weight[j] = real ? product : 0.0f;
    }
  }
  cta_sync();
}

/// One column of R^T y or R y in place; c is the side's pivot marginal.
template <class L>
struct RoundingColumn {
  const float* sigma;
  const float* c;
  int pivots;
  float missing;  // sum of (sigma - c)^+
  bool held;

  PIVOT_DEVICE float kept(int j) const { return held ? fminf(1.0f, sigma[j] / fmaxf(c[j], kTiny)) : 1.0f; }
  PIVOT_DEVICE float target(int j) const {
    return missing > 0 ? fmaxf(sigma[j] - c[j], 0.0f) / fmaxf(missing, kTiny) : sigma[j];
  }
  template <class Get, class Set>
  PIVOT_DEVICE void transposed(Get get, Set set) const {
    float moved = 0;
    for (int l = 0; l < pivots; ++l) moved += (1 - kept(l)) * get(l);
    for (int j = 0; j < pivots; ++j) set(j, kept(j) * get(j) + target(j) * moved);
  }
  template <class Get, class Set>
  PIVOT_DEVICE void direct(Get get, Set set) const {
    float mean = 0;
    for (int j = 0; j < pivots; ++j) mean += target(j) * get(j);
    for (int l = 0; l < pivots; ++l) set(l, kept(l) * get(l) + (1 - kept(l)) * mean);
  }
};

/// Of a side, after load_gluing.
template <class L>
PIVOT_DEVICE RoundingColumn<L> rounding(const Cta<L>& cta, int side, int pivots) {
  const Shared<L>& sm = cta.shared;
  const float* c = side ? sm.extra[0] : sm.marginal;
  float missing = 0;
  for (int j = 0; j < pivots; ++j) missing += fmaxf(sm.sigma[j] - c[j], 0.0f);
  return {sm.sigma, c, pivots, missing, sm.kappa[side] == 0};
}

/// (R'^T c')_j, the mass by which summaries are divided, into shared.x. A barrier must follow.
template <class L>
PIVOT_DEVICE void load_masses(const Cta<L>& cta, int pivots) {
  Shared<L>& sm = cta.shared;
  if (thread_index() == 0) {
    const RoundingColumn<L> key = rounding(cta, 1, pivots);
    key.transposed([&](int j) { return sm.extra[0][j]; },
                   [&](int j, float x) { sm.x[j] = fmaxf(x, kLeastMass); });
  }
}

/// m (holding Y) becomes U, a column a thread. Mode exact, after load_masses.
template <class L>
PIVOT_DEVICE void summaries(const Cta<L>& cta, float* m, int pivots) {
  const Shared<L>& sm = cta.shared;
  const RoundingColumn<L> key = rounding(cta, 1, pivots);
  for (int d = thread_index(); d < cta.stride - kRowPadding; d += L::kThreads) {
    const auto at = [&](int j) -> float& { return m[j * cta.stride + d]; };
    key.transposed([&](int j) { return at(j); }, [&](int j, float x) { at(j) = x / sm.x[j]; });
  }
}

/// Fills m with W of a problem. After load_gluing (and load_masses). Ends with a barrier.
template <class L>
PIVOT_DEVICE void load_summary(const Cta<L>& cta, const PivotArgs& p, int problem, float* m) {
  const Shared<L>& sm = cta.shared;
  load_matrix(cta, m, p.pooled + static_cast<int64_t>(problem) * L::R * p.padded_dim, L::R, p.padded_dim, 1);
  cta_sync();
  if (p.mode == Mode::exact) {
    summaries(cta, m, p.pivots);
    const RoundingColumn<L> query = rounding(cta, 0, p.pivots);
    for (int d = thread_index(); d < p.padded_dim; d += L::kThreads) {
      const auto at = [&](int j) -> float& { return m[j * cta.stride + d]; };
      query.direct([&](int j) { return at(j); }, [&](int j, float x) { at(j) = x; });
    }
  } else {
    for (int e = thread_index(); e < L::R * p.padded_dim; e += L::kThreads)
      m[e / p.padded_dim * cta.stride + e % p.padded_dim] *= sm.weight[e / p.padded_dim];
  }
  cta_sync();
}

/// m (holding dW) becomes dU, a column a thread. Mode exact.
template <class L>
PIVOT_DEVICE void summary_gradient(const Cta<L>& cta, float* m, int pivots) {
  const RoundingColumn<L> query = rounding(cta, 0, pivots);
  for (int d = thread_index(); d < cta.stride - kRowPadding; d += L::kThreads) {
    const auto at = [&](int j) -> float& { return m[j * cta.stride + d]; };
    query.transposed([&](int j) { return at(j); }, [&](int j, float x) { at(j) = x; });
  }
}

/// m (holding dW; mode exact: dU) becomes E. Ends with a barrier.
template <class L>
PIVOT_DEVICE void pooled_gradient(const Cta<L>& cta, const PivotArgs& p, float* m) {
  const Shared<L>& sm = cta.shared;
  if (p.mode == Mode::exact) {
    const RoundingColumn<L> key = rounding(cta, 1, p.pivots);
    for (int d = thread_index(); d < p.padded_dim; d += L::kThreads) {
      const auto at = [&](int j) -> float& { return m[j * cta.stride + d]; };
      key.direct([&](int j) { return at(j) / sm.x[j]; }, [&](int j, float x) { at(j) = x; });
    }
  } else {
    for (int e = thread_index(); e < L::R * p.padded_dim; e += L::kThreads)
      m[e / p.padded_dim * cta.stride + e % p.padded_dim] *= sm.weight[e / p.padded_dim];
  }
  cta_sync();
}

/// What the tokens of a side are multiplied with: W (queries) or E (keys), into m. Ends with a barrier.
template <class L>
PIVOT_DEVICE void load_side_matrix(const Cta<L>& cta, const PivotArgs& p, int side, int problem, float* m) {
  load_gluing(cta, p, problem);
  if (p.mode == Mode::exact) load_masses(cta, p.pivots);
  if (side == 0) {
    load_summary(cta, p, problem, m);
    return;
  }
  load_matrix(cta, m, p.d_pooled + static_cast<int64_t>(problem) * L::R * p.padded_dim, L::R, p.padded_dim,
              1);
  cta_sync();
  if (p.mode == Mode::exact) summary_gradient(cta, m, p.pivots);
  pooled_gradient(cta, p, m);
}

}  // namespace lotformer::ops::pivot::cuda
