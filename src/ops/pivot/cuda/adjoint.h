// SPDX-License-Identifier: MIT
// B1 (queries) and B2 (keys, after B1): the r-vectors that carry the gradient through the solver. One cluster
// a problem.
//
// With w_ij = dO_i . W_j on the query side and V_i . E_j / n on the key side (the gradient with respect to
// p_ij, multipliers held fixed; with masses of the tokens a_i stands in the place of 1 / n)
//   h'_j = sum_i p_ij (y_ij - sum_l p_il y_il),  y_ij = w_ij - correction_j / n
// exact:
//   correction 0, then ((1 + kappa) diag(c) - G) lambda = h' (free marginal: lambda = 0); lambda is the
//   correction that the next kernel applies; keys whose mass c' is not held: U_j . E_j is added to both
// truncated, reference:
//   correction_j = sum_i p_ij w_ij / c_j where the schedule ends with a pivot update; then backwards through
//   the updates: x_t = h' / c_t,  h'_j := sum_i p_ij(h_t) (p_i(h_t) . x_t) / n  (docs/lotformer.md,
//   README.md)
//
// Written: correction, x_t and the last h' into p.adjoint; the gradients of sigma and kappa; on the query
// side dW = sum_i p_ij dO_i.
#pragma once

#include "output.h"

namespace lotformer::ops::pivot::cuda {

/// sum_d a_jd m_jd for this thread's j, a [R][padded_dim] in global memory, m a matrix of the CTA.
template <class L>
PIVOT_DEVICE float row_dot(const Cta<L>& cta, const float* a, const float* m, int pivots) {
  const int dim = cta.stride - kRowPadding, j = thread_index();
  float sum = 0;
  for (int d = 0; d < dim && j < pivots; ++d) sum = fmaf(a[j * dim + d], element_of(cta, m, j, d), sum);
  return sum;
}

/// dU_j . U_j / mass_j, for this thread's j, from Y and dW in global memory; 1 / mass in shared.x. Mode
/// exact.
template <class L>
PIVOT_DEVICE float mass_gradient(const Cta<L>& cta, const float* pooled, const float* d_pooled, int pivots) {
  constexpr int kLanes = L::kThreads / L::R < kWarp ? L::kThreads / L::R : kWarp;  // that share a row
  Shared<L>& sm = cta.shared;
  const int dim = cta.stride - kRowPadding;
  const ColumnShare<L> share(dim);
  fold_column(cta, share, 0, pivots,
              [&](int l) { return (1 - sm.kept[1][l]) * pooled[l * dim + share.column]; });
  fold_column(cta, share, 1, pivots,
              [&](int l) { return (1 - sm.kept[0][l]) * d_pooled[l * dim + share.column]; });
  cta_sync();
  float* moved = cta.scratch;  // [2][dim]: of Y, of dW
  for (int e = thread_index(); e < 2 * dim; e += L::kThreads)
    moved[e] = column_total(cta, share, e / dim, e % dim, dim);
  cta_sync();
  const int j = thread_index() / kLanes;
  float dot = 0;
  for (int d = thread_index() % kLanes; d < dim && j < pivots; d += kLanes) {
    const float u = sm.kept[1][j] * pooled[j * dim + d] + sm.target[1][j] * moved[d];
    const float du = sm.kept[0][j] * d_pooled[j * dim + d] + sm.target[0][j] * moved[dim + d];
    dot = fmaf(u, du, dot);
  }
  PIVOT_UNROLL
  for (int mask = 1; mask < kLanes; mask *= 2) dot += shuffle_xor(dot, mask);
  if (thread_index() % kLanes == 0 && j < L::R) sm.total[j] = j < pivots ? dot * sm.x[j] * sm.x[j] : 0.0f;
  cta_sync();
  return thread_index() < L::R ? sm.total[thread_index()] : 0.0f;
}

template <class L>
struct AdjointSide {
  Tiles<L, false> tiles;
  RowSource gradient;  // dO or V
  bool by_share;       // the gradient counts by the share of the token: keys
  const float* plan;   // potentials of the plan
};

/// dW over the cluster into p.d_pooled.
template <class L>
PIVOT_DEVICE void pool_gradient(const Cta<L>& cta, const PivotArgs& p, AdjointSide<L>& side, int problem) {
  RowSum<L, kMaxHeadDim> sum;
  for_blocks(cta, side.tiles, [&](int block, const Unit<L>& s) {
    Unit<L> weights;
    probabilities(cta, side.tiles, block, s, side.plan, weights);
    add_rows(cta, sum, block, side.gradient, weights);
  });
  const int count = L::R * p.padded_dim;
  float* partial = partial_sums<L>(cta, p, problem);
  sum.store(cta, partial + cta.rank * count, p.padded_dim, 1);
  reduce_partials(cta, partial, p.d_pooled + static_cast<int64_t>(problem) * count, count);
}

/// shared.total[j] = h' at the plan, with the correction in shared.extra[1].
template <class L>
PIVOT_DEVICE void potential_gradient(Cta<L>& cta, AdjointSide<L>& side) {
  float sum[L::kCols] = {};
  for_blocks(cta, side.tiles, [&](int block, const Unit<L>& s) {
    Unit<L> weights, y;
    probabilities(cta, side.tiles, block, s, side.plan, weights);
    token_products(cta, side.gradient, block, cta.matrix[1], y);
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const float share = cta.share(block, i), scale = side.by_share ? share : 1.0f;
      float mean = 0;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) {
        y[i][c] = scale * y[i][c] - share * cta.shared.extra[1][cta.column(c)];
        mean = fmaf(weights[i][c], y[i][c], mean);
      }
      mean = row_sum<L>(mean);
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) sum[c] = fmaf(weights[i][c], y[i][c] - mean, sum[c]);
    }
  });
  reduce_columns<L, Sum>(cta, sum, 0, 0);
}

/// shared.total[j] = sum_i p_ij (p_i . x) / n at potentials h, x in shared.x.
template <class L>
PIVOT_DEVICE void step_back(Cta<L>& cta, AdjointSide<L>& side, const float* h) {
  const float share = 1.0f / static_cast<float>(cta.rows.real);
  float sum[L::kCols] = {};
  for_blocks(cta, side.tiles, [&](int block, const Unit<L>& s) {
    Unit<L> weights;
    probabilities(cta, side.tiles, block, s, h, weights);
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      float mean = 0;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) mean = fmaf(weights[i][c], cta.shared.x[cta.column(c)], mean);
      mean = share * row_sum<L>(mean);
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) sum[c] = fmaf(weights[i][c], mean, sum[c]);
    }
  });
  reduce_columns<L, Sum>(cta, sum, 0, 0);
}

/// Mode exact: correction, gradients of sigma and kappa. `by_mass` (keys; this thread's j) = U_j . E_j, what
/// the loss loses by c'_j.
template <class L>
PIVOT_DEVICE void adjoint_exact(Cta<L>& cta, const PivotArgs& p, AdjointSide<L>& side, int ps,
                                float by_mass) {
  Shared<L>& sm = cta.shared;
  const int j = thread_index();
  const float kappa = sm.kappa[p.side];
  const bool held = kappa == 0, free = is_free(kappa), column = j < p.pivots;
  if (j < L::R) sm.extra[1][j] = held ? 0.0f : by_mass;
  cta_sync();
  potential_gradient(cta, side);
  if (j < L::R) {
    sm.x[j] = free ? 0.0f : sm.total[j];
    sm.marginal[j] = p.marginal[static_cast<int64_t>(ps) * L::R + j];
  }
  cta_sync();
  if (!free) solve_system(cta, p.gram + static_cast<int64_t>(ps) * L::R * L::R, 1.0f, kappa, p.pivots);
  if (cta.rank != 0) return;
  if (cta.warp == 0) {  // d kappa = -sum_j lambda_j c_j h_j
    const float slope =
        column_sum(cta, p.pivots, [&](int i) { return sm.x[i] * sm.marginal[i] * side.plan[i]; });
    if (cta.lane == 0) p.kappa_part[ps] = held ? 0.0f : -kLn2 * slope;
  }
  if (j >= L::R) return;
  const float lambda = column ? sm.x[j] : 0.0f;
  p.adjoint[static_cast<int64_t>(ps) * (p.steps + 2) * L::R + j] = lambda + sm.extra[1][j];
  const float through_target = held ? 1.0f : column ? sm.marginal[j] / fmaxf(sm.sigma[j], kTiny) : 0.0f;
  p.sigma_part[static_cast<int64_t>(ps) * L::R + j] = lambda * through_target - (held ? by_mass : 0.0f);
}

/// Fixed number of half-iterations. `weighted_j` = sum_i p_ij w_ij.
template <class L>
PIVOT_DEVICE void adjoint_fixed(Cta<L>& cta, const PivotArgs& p, AdjointSide<L>& side, int ps, int which,
                                float weighted) {
  Shared<L>& sm = cta.shared;
  const Schedule schedule = schedule_of(p.half_iterations, which);
  const float* h = p.potentials + static_cast<int64_t>(ps) * (p.steps + 1) * L::R;
  float* kept = p.adjoint + static_cast<int64_t>(ps) * (p.steps + 2) * L::R;
  const int j = thread_index();
  const bool column = j < p.pivots;
  const auto marginal = [&](int t) { return sm.sigma[j] * exp2f(h[t * L::R + j] - h[(t + 1) * L::R + j]); };
  const float correction =
      schedule.pivot_last && column ? weighted / fmaxf(marginal(schedule.at), kTiny) : 0.0f;
  if (j < L::R) sm.extra[1][j] = correction;
  if (j < L::R && cta.rank == 0) kept[j] = correction;
  cta_sync();
  potential_gradient(cta, side);
  // d log sigma: every pivot update adds log sigma; the plan of a last one is multiplied by it; the gluing
  // divides by it once.
  float d_log_sigma = (schedule.pivot_last ? weighted : 0.0f) - (which == 0 ? weighted : 0.0f);
  for (int t = schedule.at - 1; t >= 0; --t) {
    if (j < L::R) {
      sm.x[j] = column ? sm.total[j] / fmaxf(marginal(t), kTiny) : 0.0f;
      d_log_sigma += sm.total[j];
      if (cta.rank == 0) kept[(1 + t) * L::R + j] = sm.x[j];
    }
    cta_sync();
    step_back(cta, side, h + t * L::R);
  }
  if (cta.rank != 0 || j >= L::R) return;
  if (which == 1) d_log_sigma += sm.total[j];
  kept[(1 + schedule.at) * L::R + j] = column ? sm.total[j] : 0.0f;
  p.sigma_part[static_cast<int64_t>(ps) * L::R + j] =
      column ? d_log_sigma / fmaxf(sm.sigma[j], kLeastMass) : 0.0f;
}

/// Numbers of an empty sequence.
template <class L>
PIVOT_DEVICE void adjoint_of_nothing(const Cta<L>& cta, const PivotArgs& p, int ps, int problem) {
  if (cta.rank != 0) return;
  if (thread_index() == 0) p.kappa_part[ps] = 0;
  for (int e = thread_index(); e < (p.steps + 2) * L::R; e += L::kThreads)
    p.adjoint[static_cast<int64_t>(ps) * (p.steps + 2) * L::R + e] = 0;
  for (int e = thread_index(); e < L::R; e += L::kThreads)
    p.sigma_part[static_cast<int64_t>(ps) * L::R + e] = 0;
  const int count = L::R * p.padded_dim;
  for (int e = thread_index(); e < count && p.side == 0; e += L::kThreads)
    p.d_pooled[static_cast<int64_t>(problem) * count + e] = 0;
}

template <class L>
PIVOT_KERNEL(L::kThreads, kSweepCtas<L>)
pivot_adjoint(PivotArgs p) {
  Cta<L> cta = make_cta<L>(p, 2);
  const int problem = cta_index() / cta.ranks, b = problem / p.heads, h = problem % p.heads;
  const int ps = p.side * p.batch * p.heads + problem;
  const int real = real_tokens(p, b);
  if (real == 0) {
    adjoint_of_nothing(cta, p, ps, problem);
    return;
  }
  cta.rows = share_of<L>(p.tokens, real, cta.rank, cta.ranks, false);
  cta.rows.masses = token_masses(p, p.side, problem);
  load_operand(cta, cta.matrix[0], p.z + static_cast<int64_t>(h) * p.pivots * p.head_dim, p.pivots,
               p.head_dim, p.log_scale);
  load_side_matrix(cta, p, p.side, problem, cta.matrix[1]);
  cluster_sync();  // every CTA runs before a peer writes to its shared memory
  AdjointSide<L> side{{row_source(p, p.side ? p.k : p.q, b, h, real), p.clamp, p.pivots},
                      row_source(p, p.side ? p.v : p.d_out, b, h, real),
                      p.side == 1,
                      plan_potentials<L>(p, ps, p.side)};
  if (p.side == 0) pool_gradient(cta, p, side, problem);
  const int64_t at = static_cast<int64_t>(problem) * L::R * p.padded_dim;
  if (p.mode == Mode::exact) {
    const float by_mass = p.side == 1 ? mass_gradient(cta, p.pooled + at, p.d_pooled + at, p.pivots) : 0.0f;
    adjoint_exact(cta, p, side, ps, by_mass);
  } else {
    const float* other = p.side ? p.pooled + at : p.d_pooled + at;
    adjoint_fixed(cta, p, side, ps, p.side, row_dot(cta, other, cta.matrix[1], p.pivots));
  }
}

}  // namespace lotformer::ops::pivot::cuda
