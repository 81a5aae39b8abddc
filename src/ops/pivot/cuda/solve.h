// SPDX-License-Identifier: MIT
// F1: potentials of both sides of every problem, and on the key side the pooled values. One cluster works on
// a side of a problem.
//
//   p_ij = 2^(S_ij + h_j) / sum_l 2^(S_il + h_l),   c_j = sum_i a_i p_ij, a_i = 1 / n or the mass of token i
//   (exact);   exact: c(h) = sigma by damped Newton steps (newton.h); truncated, reference: h <- h +
//   log2(sigma / c(h)), a fixed number of times, every h kept for the backward pass.
//
// Memory: scores once (resident) or again each sweep (tiles.h), nothing of size n x R written. Equal bits for
// equal inputs, whatever the batch: sums in fixed order, no atomics.
#pragma once

#include "steps.h"

namespace lotformer::ops::pivot::cuda {

/// Has a column fallen out of the range of float32? Equal on all threads of the cluster.
template <class L>
PIVOT_DEVICE bool any_starving(const Cta<L>& cta, int pivots) {
  bool starving = false;
  for (int j = 0; j < pivots; ++j) starving = starving || cta.shared.total[j] < kSmallestSum;
  return starving;
}

/// shared.shift_j = -max_i log2 p_ij, so that the largest term of each column becomes 1. Ends with a barrier.
template <class L, bool kResident>
PIVOT_DEVICE void largest_exponents(Cta<L>& cta, Tiles<L, kResident>& tiles, int pivots,
                                    const float (&point)[L::kCols]) {
  float largest[L::kCols];
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) largest[c] = kNoScore;
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const RowNorm norm = row_norm(tiles, s[i], point, cta.row(block, i) < cta.rows.real);
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) largest[c] = fmaxf(largest[c], s[i][c] + point[c] - norm.value);
    }
  });
  reduce_columns<L, Maximum>(cta, largest, 0, 0);
  if (thread_index() < pivots) cta.shared.shift[thread_index()] = -cta.shared.total[thread_index()];
  cta_sync();
}

/// One evaluation at shared.trial: log2 c into shared.log_c by warp 0, for itself until a barrier follows,
/// the normalisers' mean into shared.total[R]. True on lanes of warp 0 where a column has left the range of
/// float32.
template <class L, bool kResident>
PIVOT_DEVICE bool evaluate(Cta<L>& cta, Tiles<L, kResident>& tiles, int pivots) {
  Shared<L>& sm = cta.shared;
  float point[L::kCols];
  read_point<L, kResident>(cta, point);
  bool shifted = false;
  while (true) {
    float sum[L::kCols] = {}, log_sums = 0, failures = 0;
    for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
      PIVOT_UNROLL
      for (int i = 0; i < L::kUnitRows; ++i) {
        const RowNorm norm = row_norm(tiles, s[i], point, cta.row(block, i) < cta.rows.real);
        const float share = cta.share(block, i);
        log_sums = fmaf(share, norm.log_sum, log_sums);
        failures += norm.in_range ? 0.0f : 1.0f;
        PIVOT_UNROLL
        for (int c = 0; c < L::kCols; ++c) {
          if constexpr (kResident) {
            sum[c] = fmaf(s[i][c], share * norm.value, sum[c]);
          } else {
            const float shift = shifted ? sm.shift[cta.column(c)] : 0.0f;
            sum[c] = fmaf(share, exp2_fast(s[i][c] + point[c] - norm.value + shift), sum[c]);
          }
        }
      }
    });
    reduce_columns<L, Sum>(cta, sum, log_sums, failures);
    if (kResident || shifted || !any_starving(cta, pivots)) break;
    largest_exponents(cta, tiles, pivots, point);
    shifted = true;
  }
  bool failed = false;
  if (cta.warp == 0) {
    for_columns(cta, pivots, [&](int j) {
      const float c = sm.total[j] * (kResident ? sm.weight[j] : 1.0f);
      sm.log_c[j] = log2f(c) - (shifted ? sm.shift[j] : 0.0f);
      if (kResident && (!(c > kSmallestSum) || !(sm.total[L::R + 1] == 0))) failed = true;
    });
  }
  return failed;
}

/// The first half-iteration of the key side, pivots before tokens: h_j = log2 sigma_j - log2 sum_k 2^S_kj.
/// Tiles still hold scores.
template <class L, bool kResident>
PIVOT_DEVICE void first_pivot_update(Cta<L>& cta, Tiles<L, kResident>& tiles, int pivots) {
  Shared<L>& sm = cta.shared;
  float value[L::kCols];
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) value[c] = kNoScore;
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const bool live = cta.row(block, i) < cta.rows.real;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) value[c] = live ? fmaxf(value[c], s[i][c]) : value[c];
    }
  });
  reduce_columns<L, Maximum>(cta, value, 0, 0);
  if (thread_index() < L::R) sm.shift[thread_index()] = -sm.total[thread_index()];
  cta_sync();
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) value[c] = 0;
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const bool live = cta.row(block, i) < cta.rows.real;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c)
        value[c] += live ? exp2_fast(s[i][c] + sm.shift[cta.column(c)]) : 0.0f;
    }
  });
  reduce_columns<L, Sum>(cta, value, 0, 0);
  if (cta.warp == 0) {
    for_columns(cta, pivots,
                [&](int j) { sm.h[j] = safe_log2(sm.sigma[j]) - log2f(sm.total[j]) + sm.shift[j]; });
  }
  cta_sync();
}

/// sum_i a_i p_i. u_i. at the point that was evaluated last, over the cluster, into `result` [R][columns].
/// `source` null: u = p.
template <class Sum, class L, bool kResident>
PIVOT_DEVICE void weighted_sum(const Cta<L>& cta, Tiles<L, kResident>& tiles, const PivotArgs& p, int ps,
                               const RowSource* source, int columns, float* result) {
  float point[L::kCols];  // read again: registers are short
  read_point<L, kResident>(cta, point);
  Sum sum;
  sum_outer(cta, tiles, point, source, sum);
  float* partial = partial_sums<L>(cta, p, ps);
  sum.store(cta, partial + cta.rank * L::R * columns, columns,
            cta.rows.masses ? 1.0f : 1.0f / static_cast<float>(cta.rows.real));
  reduce_partials(cta, partial, result, L::R * columns);
}

/// Mode exact, after an evaluation: accept or reject it, propose the next. Without a Newton step all of that
/// is warp 0's, behind one barrier. False when the problem is over or flagged.
template <class L, bool kResident>
PIVOT_DEVICE bool newton_step(Cta<L>& cta, Tiles<L, kResident>& tiles, const PivotArgs& p, int ps,
                              bool failed) {
  Shared<L>& sm = cta.shared;
  float* gram = p.gram + static_cast<int64_t>(ps) * L::R * L::R;
  if (cta.warp == 0) {
    const Control next = decide(cta, p, kResident, failed);
    if (next.returning || (next.active && next.step != Step::newton)) propose(cta, p, kResident, next);
  }
  cta_sync();
  const Control now = sm.control;
  if (now.flagged) return false;
  const bool last = !now.active && !now.returning, newton = now.active && now.step == Step::newton;
  if (now.accepted && (newton || (last && p.gradients)))
    weighted_sum<GramSum<L>>(cta, tiles, p, ps, nullptr, L::R, gram);
  if (!newton) return !last;
  if (cta.warp == 0) set_right_side(cta, p.pivots);  // and only warp 0 reads it
  const bool solved = solve_system(cta, gram, rules::theta<Limits>(now.course.omega), now.kappa, p.pivots);
  if (cta.warp == 0) propose_newton(cta, p.pivots, kResident, solved);
  cta_sync();
  return true;
}

template <class L>
PIVOT_DEVICE void keep_potentials(const Cta<L>& cta, const PivotArgs& p, int ps, int step) {
  if (cta.rank != 0 || thread_index() >= L::R) return;
  p.potentials[(static_cast<int64_t>(ps) * (p.steps + 1) + step) * L::R + thread_index()] =
      cta.shared.h[thread_index()];
}

/// A fixed number of half-iterations: the pivot update number t after an evaluation. False when it was the
/// last, or the problem is flagged.
template <class L>
PIVOT_DEVICE bool truncated_step(const Cta<L>& cta, const PivotArgs& p, int ps, int t, bool resident,
                                 const Schedule& schedule, bool failed) {
  Shared<L>& sm = cta.shared;
  if (cta.warp == 0)
    for_columns(cta, p.pivots, [&](int j) { sm.h[j] += safe_log2(sm.sigma[j]) - sm.log_c[j]; });
  if (failed) sm.control.flagged = 1;
  cta_sync();
  if (sm.control.flagged) return false;
  keep_potentials(cta, p, ps, t + 1);
  if (t + 1 == schedule.updates && schedule.pivot_last)
    return false;  // the plan is that of the potentials before
  if (cta.warp == 0) set_trial(cta, p.pivots, resident, [&](int i) { return sm.h[i]; });
  cta_sync();
  return t + 1 < schedule.updates;
}

/// Potentials of one side; the point of the plan ends up in shared.trial.
template <class L, bool kResident>
PIVOT_DEVICE void solve(Cta<L>& cta, Tiles<L, kResident>& tiles, const PivotArgs& p, int ps, int side) {
  Shared<L>& sm = cta.shared;
  const bool exact = p.mode == Mode::exact;
  if (!exact && side) first_pivot_update(cta, tiles, p.pivots);
  make_kernel(cta, tiles);
  const Schedule schedule = schedule_of(p.half_iterations, side);
  keep_potentials(cta, p, ps, 0);
  if (cta.warp == 0) set_trial(cta, p.pivots, kResident, [&](int j) { return sm.h[j]; });
  cta_sync();
  for (int t = 0; exact || t < schedule.updates; ++t) {
    const bool failed = evaluate(cta, tiles, p.pivots);
    if (!(exact ? newton_step(cta, tiles, p, ps, failed)
                : truncated_step(cta, p, ps, t, kResident, schedule, failed)))
      break;
  }
  if (!exact || sm.control.flagged) return;
  if (sm.control.kappa > 0) {
    if (cta.warp == 0) place_constant(cta, p.pivots);
    cta_sync();
  }
  keep_potentials(cta, p, ps, 0);
  if (sm.control.accepted) return;  // the last trial is the solution
  if (cta.warp == 0) set_trial(cta, p.pivots, kResident, [&](int j) { return sm.h[j]; });
  cta_sync();
}

/// Numbers that are read by name before anything was computed, and a sequence without a token.
template <class L>
PIVOT_DEVICE void clear_shared(const Cta<L>& cta, const PivotArgs& p, int side, int h) {
  Shared<L>& sm = cta.shared;
  for (int j = thread_index(); j < L::R; j += L::kThreads) {
    sm.sigma[j] = j < p.pivots ? p.sigma[h * p.pivots + j] : 0.0f;
    sm.h[j] = sm.trial[j] = sm.lowest[j] = sm.shift[j] = sm.log_c[j] = sm.ratio[j] = sm.x[j] = 0;
    sm.marginal[j] = sm.sigma[j];
  }
  if (thread_index() == 0) {
    const float kappa = relaxation_of(p, side, h);
    sm.control = Control{};
    sm.control.free = is_free(kappa);
    sm.control.kappa = sm.control.free ? 0.0f : kappa;
  }
}

template <class L>
PIVOT_DEVICE void keep_solution(const Cta<L>& cta, const PivotArgs& p, int ps) {
  const Shared<L>& sm = cta.shared;
  if (cta.rank != 0) return;
  if (thread_index() < L::R)
    p.marginal[static_cast<int64_t>(ps) * L::R + thread_index()] = sm.marginal[thread_index()];
  if (thread_index() == 0) {
    p.residual[ps] = sm.control.residual;
    p.passes[ps] = sm.control.passes;
  }
}

/// Zeros for a sequence without a token; its output rows are zero, too.
template <class L>
PIVOT_DEVICE void keep_nothing(const Cta<L>& cta, const PivotArgs& p, int ps) {
  keep_solution(cta, p, ps);
  for (int t = 0; t <= p.steps; ++t) keep_potentials(cta, p, ps, t);
  if (cta.rank != 0) return;
  const int problems = p.batch * p.heads, count = L::R * p.padded_dim;
  for (int e = thread_index(); e < count && ps >= problems; e += L::kThreads)
    p.pooled[static_cast<int64_t>(ps - problems) * count + e] = 0;
  for (int e = thread_index(); e < L::R * L::R && p.mode == Mode::exact; e += L::kThreads)
    p.gram[static_cast<int64_t>(ps) * L::R * L::R + e] = 0;
}

/// CTAs that share a multiprocessor, as far as registers go without spills: one computes while another waits
/// in the exchange.
template <class L, bool kResident>
constexpr int kSolveCtas = kResident&& L::R <= 16 ? 2 : 1;

/// One side of a problem.
template <class L, bool kResident>
PIVOT_DEVICE void solve_side(Cta<L>& cta, const PivotArgs& p, int ps) {
  const int problems = p.batch * p.heads;
  const int side = ps / problems, b = ps % problems / p.heads, h = ps % p.heads;
  Shared<L>& sm = cta.shared;
  const int real = real_tokens(p, b);
  cta.rows = share_of<L>(p.tokens, real, cta.rank, cta.ranks, kResident);
  cta.rows.masses = token_masses(p, side, ps % problems);
  clear_shared(cta, p, side, h);
  load_operand(cta, cta.matrix[0], p.z + static_cast<int64_t>(h) * p.pivots * p.head_dim, p.pivots,
               p.head_dim, p.log_scale);
  cluster_sync();  // every CTA runs and has its shared memory in order, before a peer writes to it
  if (real == 0) {
    if (kResident && cta.rank == 0 && thread_index() == 0) p.flag[ps] = 0;
    keep_nothing(cta, p, ps);
    return;
  }
  Tiles<L, kResident> tiles;
  load_tiles(cta, tiles, row_source(p, side ? p.k : p.q, b, h, real), p.clamp, p.pivots);
  solve(cta, tiles, p, ps, side);
  if (kResident && cta.rank == 0 && thread_index() == 0) p.flag[ps] = sm.control.flagged;
  if (sm.control.flagged) return;  // the streamed kernel does all of it again
  keep_solution(cta, p, ps);
  if (side == 0) return;
  const RowSource values = row_source(p, p.v, b, h, real);
  weighted_sum<RowSum<L, kMaxHeadDim>>(cta, tiles, p, ps, &values, p.padded_dim,
                                       p.pooled + static_cast<int64_t>(ps - problems) * L::R * p.padded_dim);
}

/// Side number i of a cluster that walks over the sides. Each round of `clusters` sides is dealt out one
/// place further on: flagged sides are often those of one head, and heads times batch may share a factor with
/// the clusters.
PIVOT_DEVICE int side_in_turn(const PivotArgs& p, int cluster, int i) {
  return i * p.clusters + (cluster + i) % p.clusters;
}

/// Bit i: whether the cluster has anything to do at its side number first + i. All flags are under way at
/// once.
PIVOT_DEVICE int sides_to_solve(const PivotArgs& p, int cluster, int first, int count) {
  int wanted = 0;
  PIVOT_UNROLL
  for (int i = 0; i < count; ++i) {
    const int ps = side_in_turn(p, cluster, first + i);
    if (ps < 2 * p.batch * p.heads && (!p.only_flagged || p.flag[ps])) wanted |= 1 << i;
  }
  return wanted;
}

/// The resident solver has a cluster for each side. The streamed one walks over them, since few of them or
/// none may be flagged (Plan::redo_clusters).
template <class L, bool kResident>
PIVOT_KERNEL(L::kThreads, (kSolveCtas<L, kResident>))
pivot_solve(PivotArgs p) {
  constexpr int kLook = 8;
  Cta<L> cta = make_cta<L>(p, 1);
  const int cluster = cta_index() / cta.ranks;
  if constexpr (kResident) {
    solve_side<L, kResident>(cta, p, cluster);
  } else {
    PIVOT_ROLLED
    for (int first = 0; first * p.clusters < 2 * p.batch * p.heads; first += kLook) {
      const int wanted = sides_to_solve(p, cluster, first, kLook);
      PIVOT_ROLLED
      for (int i = 0; i < kLook; ++i) {
        if ((wanted >> i & 1) == 0) continue;
        cta_sync();  // nobody still reads the decisions of the side before
        solve_side<L, kResident>(cta, p, side_in_turn(p, cluster, first + i));
      }
    }
  }
}

}  // namespace lotformer::ops::pivot::cuda
