// SPDX-License-Identifier: MIT
// B3: gradients of the tokens from the vectors of adjoint.h, both sides in one launch, one sweep, no
// exchange. Grid: sides x splits.
//
//   dA_ij = p_ij (y_ij - sum_l p_il y_il),  y_ij = w_ij - correction_j / n
//         - sum_t p_ij(h_t) (x_tj - p_i(h_t) . x_t) / n                      truncated, reference: t over the
//                                                                            updates before the plan
//         - h'_j 2^(S_kj + h_0j) / sigma_j                                   the same, keys: through the
//                                                                            first pivot update
//   dX_i = sum_j dA_ij z_j,  dZ_j = sum_i dA_ij x_i (a partial sum a CTA),  keys: dV_k = sum_j p_kj E_j / n
// With masses of the tokens a_i stands in the place of 1 / n, and
//   da_i = -p_i . correction (queries),  p_k . (V_k . E - correction) (keys), up to a constant a sequence
// A clamped score passes nothing on. Rows of padding receive zeros.
#pragma once

#include "output.h"

namespace lotformer::ops::pivot::cuda {

/// da of one block, from y = V_k . E_j on the key side. Zeros at padding.
template <class L>
PIVOT_DEVICE void write_mass_gradients(const Cta<L>& cta, const PivotArgs& p, int block, int ps,
                                       const float* adjoint, const Unit<L>& weights, const Unit<L>& y) {
  const int problems = p.batch * p.heads, side = ps / problems;
  float* target = p.d_masses[side] + static_cast<int64_t>(ps % problems) * p.tokens;
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    float sum = 0;
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c)
      sum = fmaf(weights[i][c], (side ? y[i][c] : 0.0f) - adjoint[cta.column(c)], sum);
    sum = row_sum<L>(sum);
    const int row = cta.row(block, i);
    if (row < p.tokens && cta.column(0) == 0) target[row] = row < cta.rows.real ? sum : 0.0f;
  }
}

/// dA of one block, given its scores, before the clamp.
template <class L>
PIVOT_DEVICE void score_gradient(const Cta<L>& cta, const PivotArgs& p, const Tiles<L, false>& tiles,
                                 int block, const Unit<L>& s, int ps, const Unit<L>& weights, Unit<L>& y) {
  const int side = ps / (p.batch * p.heads), h = ps % p.heads;
  const float* adjoint = p.adjoint + static_cast<int64_t>(ps) * (p.steps + 2) * L::R;
  if (p.masses[side]) write_mass_gradients(cta, p, block, ps, adjoint, weights, y);
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    const float share = cta.share(block, i), scale = side ? share : 1.0f;
    float mean = 0;
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) {
      y[i][c] = scale * y[i][c] - share * adjoint[cta.column(c)];
      mean = fmaf(weights[i][c], y[i][c], mean);
    }
    mean = row_sum<L>(mean);
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) y[i][c] = weights[i][c] * (y[i][c] - mean);
  }
  if (p.mode == Mode::exact) return;
  const float share = 1.0f / static_cast<float>(cta.rows.real);
  const float* potentials = p.potentials + static_cast<int64_t>(ps) * (p.steps + 1) * L::R;
  const int at = schedule_of(p.half_iterations, side).at;
  PIVOT_ROLLED
  for (int t = 0; t < at; ++t) {
    Unit<L> earlier;
    probabilities(cta, tiles, block, s, potentials + t * L::R, earlier);
    const float* x = adjoint + (1 + t) * L::R;
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      float mean = 0;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) mean = fmaf(earlier[i][c], x[cta.column(c)], mean);
      mean = row_sum<L>(mean);
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) y[i][c] -= share * earlier[i][c] * (x[cta.column(c)] - mean);
    }
  }
  if (side == 0) return;
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) {
    const int j = cta.column(c);
    if (j >= p.pivots) continue;
    const float first = adjoint[(1 + at) * L::R + j] / p.sigma[h * p.pivots + j], h0 = potentials[j];
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      if (cta.row(block, i) < cta.rows.real) y[i][c] -= first * exp2_fast(s[i][c] + h0);
    }
  }
}

template <class L>
PIVOT_KERNEL(L::kThreads, kSweepCtas<L>)
pivot_apply(PivotArgs p) {
  Cta<L> cta = make_cta<L>(p, 2);
  const int problems = p.batch * p.heads;
  const int split = cta_index() % p.splits, ps = cta_index() / p.splits, side = ps / problems,
            problem = ps % problems;
  const int b = problem / p.heads, h = problem % p.heads;
  const int real = real_tokens(p, b);
  cta.rows = share_of<L>(p.tokens, p.tokens, split, p.splits, false);
  cta.rows.real = real;
  cta.rows.masses = token_masses(p, side, problem);
  load_operand(cta, cta.matrix[0], p.z + static_cast<int64_t>(h) * p.pivots * p.head_dim, p.pivots,
               p.head_dim, p.log_scale);
  load_side_matrix(cta, p, side, problem, cta.matrix[1]);
  Tiles<L, false> tiles{row_source(p, side ? p.k : p.q, b, h, real), p.clamp, p.pivots};
  const RowSource gradient = row_source(p, side ? p.v : p.d_out, b, h, real);
  const RowTarget d_x = row_target(p, side ? p.d_k : p.d_q, b, h), d_v = row_target(p, p.d_v, b, h);
  RowSum<L, kMaxHeadDim> d_z;
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    Unit<L> weights, y;
    probabilities(cta, tiles, block, s, plan_potentials<L>(p, ps, side), weights);
    if (side == 1) {
      pivot_products(cta, weights, cta.matrix[1], [&](int i, int column, Pair x) {
        const int row = cta.row(block, i);
        const float share = row < real ? cta.rows.share(row) : 0.0f;
        d_v.store(row, column, Pair{share * x.x, share * x.y});
      });
    }
    token_products(cta, gradient, block, cta.matrix[1], y);
    score_gradient(cta, p, tiles, block, s, ps, weights, y);
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const bool live = cta.row(block, i) < real;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) {
        const bool passes = live && cta.column(c) < p.pivots && !(s[i][c] >= p.clamp || s[i][c] <= -p.clamp);
        y[i][c] = passes ? y[i][c] : 0.0f;
      }
    }
    pivot_products(cta, y, cta.matrix[0], [&](int i, int column, Pair x) {
      d_x.store(cta.row(block, i), column, {kLn2 * x.x, kLn2 * x.y});
    });
    add_rows(cta, d_z, block, tiles.x, y);
  });
  d_z.store(cta, p.z_part + (static_cast<int64_t>(ps) * p.splits + split) * L::R * p.padded_dim, p.padded_dim,
            kLn2 * p.log_scale);
}

}  // namespace lotformer::ops::pivot::cuda
