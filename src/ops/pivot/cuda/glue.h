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

/// Rounding of one side from its masses: shared.kept and shared.target; on the key side also
/// 1 / (R'^T c')_j, by which summaries are multiplied, into shared.x. A warp calls it. Mode exact.
template <class L>
PIVOT_DEVICE void set_rounding(const Cta<L>& cta, int side, int pivots) {
  Shared<L>& sm = cta.shared;
  const float* c = side ? sm.extra[0] : sm.marginal;
  const bool held = sm.kappa[side] == 0;
  const auto lacking = [&](int j) { return fmaxf(sm.sigma[j] - c[j], 0.0f); };
  const float missing = column_sum(cta, pivots, lacking);
  for_columns(cta, pivots, [&](int j) {
    sm.kept[side][j] = held ? fminf(1.0f, sm.sigma[j] / fmaxf(c[j], kTiny)) : 1.0f;
    sm.target[side][j] = missing > 0 ? lacking(j) / fmaxf(missing, kTiny) : sm.sigma[j];
  });
  if (side == 0) return;
  const float moved = column_sum(cta, pivots, [&](int j) { return (1 - sm.kept[1][j]) * c[j]; });
  for_columns(cta, pivots, [&](int j) {
    sm.x[j] = 1.0f / fmaxf(sm.kept[1][j] * c[j] + sm.target[1][j] * moved, kLeastMass);
  });
}

/// Mode exact: c of both sides, query side into shared.marginal, key side into shared.extra[0], and the
/// roundings; else the product of both e and the gluing into shared.weight, e of the two sides into
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
  if (p.mode != Mode::exact) return;
  if (cta.warp < 2) set_rounding(cta, cta.warp, p.pivots);
  cta_sync();
}

/// The thread's part of sum_l term(l) over all rows l, for its column, into shared.fold[buffer]; a barrier
/// must follow, and then column_total.
template <class L, class Term>
PIVOT_DEVICE void fold_column(const Cta<L>& cta, const ColumnShare<L>& share, int buffer, int pivots,
                              Term term) {
  float sum = 0;
  PIVOT_UNROLL_8
  for (int l = share.first; l < pivots; l += share.step) sum += term(l);
  cta.shared.fold[buffer][thread_index()] = sum;
}
/// Of one column, in the order of the parts.
template <class L>
PIVOT_DEVICE float column_total(const Cta<L>& cta, const ColumnShare<L>& share, int buffer, int column,
                                int dim) {
  float sum = 0;
  for (int part = 0; part < share.step; ++part) sum += cta.shared.fold[buffer][part * dim + column];
  return sum;
}

/// m_ld := row(l, m_ld, sum_k term(k, m_kd)) for the true pivots l, k and every column d, all threads
/// together. Each thread only reads and writes elements of its own share, so calls with different buffers
/// follow each other without a barrier; one must stand between a call and other readers of m.
template <class L, class Term, class Row>
PIVOT_DEVICE void mix_rows(const Cta<L>& cta, float* m, int pivots, int buffer, Term term, Row row) {
  const int dim = cta.stride - kRowPadding;
  const ColumnShare<L> share(dim);
  const auto at = [&](int l) -> float& { return m[l * cta.stride + share.column]; };
  fold_column(cta, share, buffer, pivots, [&](int l) { return term(l, at(l)); });
  cta_sync();
  const float total = column_total(cta, share, buffer, share.column, dim);
  PIVOT_UNROLL_8
  for (int l = share.first; l < pivots; l += share.step) at(l) = row(l, at(l), total);
}

/// m := R^T m of a side.
template <class L>
PIVOT_DEVICE void rounding_transposed(const Cta<L>& cta, float* m, int pivots, int side, int buffer) {
  const float *kept = cta.shared.kept[side], *target = cta.shared.target[side];
  mix_rows(
      cta, m, pivots, buffer, [&](int l, float x) { return (1 - kept[l]) * x; },
      [&](int j, float x, float moved) { return kept[j] * x + target[j] * moved; });
}

/// m := R diag(shared.x) m of a side.
template <class L>
PIVOT_DEVICE void rounding_direct(const Cta<L>& cta, float* m, int pivots, int side, int buffer) {
  const float *kept = cta.shared.kept[side], *target = cta.shared.target[side], *scale = cta.shared.x;
  mix_rows(
      cta, m, pivots, buffer, [&](int j, float x) { return target[j] * (scale[j] * x); },
      [&](int l, float x, float mean) { return kept[l] * (scale[l] * x) + (1 - kept[l]) * mean; });
}

/// m_jd *= shared.weight_j. Modes truncated and reference.
template <class L>
PIVOT_DEVICE void weigh_rows(const Cta<L>& cta, float* m) {
  const ColumnShare<L> share(cta.stride - kRowPadding);
  for (int j = share.first; j < L::R; j += share.step)
    m[j * cta.stride + share.column] *= cta.shared.weight[j];
}

/// From m [R][stride] to a matrix of the CTA, each thread the elements of its share.
template <class L>
PIVOT_DEVICE void store_operand(const Cta<L>& cta, const float* m, float* matrix) {
  const ColumnShare<L> share(cta.stride - kRowPadding);
  const Terms terms = matrix_terms<L>(matrix, cta.stride - kRowPadding);
  PIVOT_UNROLL_8
  for (int j = share.first; j < L::R; j += share.step)
    terms.set(j, share.column, m[j * cta.stride + share.column]);
}

/// What the tokens of a side are multiplied with: W (queries) or E (keys), into a matrix of the CTA. Ends
/// with a barrier.
template <class L>
PIVOT_DEVICE void load_side_matrix(const Cta<L>& cta, const PivotArgs& p, int side, int problem,
                                   float* matrix) {
  float* m = L::kQuad ? cta.scratch : matrix;
  const float* source = (side ? p.d_pooled : p.pooled) + static_cast<int64_t>(problem) * L::R * p.padded_dim;
  load_matrix(cta, m, source, L::R, p.padded_dim, 1);
  load_gluing(cta, p, problem);
  if (p.mode != Mode::exact) {
    weigh_rows(cta, m);
  } else if (side == 0) {  // U = R'^T Y / mass, W = R U
    rounding_transposed(cta, m, p.pivots, 1, 0);
    rounding_direct(cta, m, p.pivots, 0, 1);
  } else {  // dU = R^T dW, E = R' (dU / mass)
    rounding_transposed(cta, m, p.pivots, 0, 0);
    rounding_direct(cta, m, p.pivots, 1, 1);
  }
  if constexpr (L::kQuad) store_operand(cta, m, matrix);
  cta_sync();
}

}  // namespace lotformer::ops::pivot::cuda
