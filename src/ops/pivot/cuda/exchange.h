// SPDX-License-Identifier: MIT
// Shared memory of a CTA, and the reduction of one number a column over all rows of a cluster.
//
// thread: its rows in order -> warp: exchange tree -> CTA: warps in order -> every CTA writes its sums into
// its own slot at *every* peer, one cluster barrier, every CTA adds the slots in the order of the ranks. So
// all CTAs hold the same bits and take the same decisions. Slots alternate by the parity of the reduction: a
// peer can be at most one reduction behind.
#pragma once

#include "layout.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kScalars = 2;  // numbers that are reduced beside the columns

/// How a trial came about. back: it is the point of the smallest residual, to end there.
enum class Step : int { sinkhorn, mixed, newton, back };

/// State of the solver that all threads read (newton.h).
struct Control {
  rules::Course<float> course;
  rules::Pace<float> pace;
  Step step;  // of the trial
  // Points that a mixed step can look back on, the accepted one among them, and the slot of the last
  // difference (steps.h).
  int points, newest;
  // Of the accepted point; sure: what a Sinkhorn step from there is sure to add to the dual.
  float residual, dual, sure;
  // The smallest residual of all passes; its point is Shared::lowest.
  float lowest;
  // 0 where the pivot marginal is held, and where it is free.
  float kappa;
  // active: steps go on; returning: the next trial is the point of the smallest residual, to end there.
  int passes, active, accepted, returning, flagged, free;
};

/// epsilon / rho of a side: 0 its pivot marginal is held, infinity it is free.
PIVOT_DEVICE float relaxation_of(const PivotArgs& p, int side, int head) {
  return p.kappa ? p.kappa[side * p.heads + head] : 0.0f;
}
PIVOT_DEVICE bool is_free(float kappa) {
  return kappa > 3e38f;
}

template <class L>
struct Shared {
  float part[L::kWarps][L::R + kScalars];
  float slot[2][kMaxCluster][L::R + kScalars];
  float total[L::R + kScalars];
  float sigma[L::R];     // 0 from the true number of pivots on
  float h[L::R];         // potentials: the accepted point, or the trajectory's
  float trial[L::R];     // potentials under evaluation
  float lowest[L::R];    // potentials of the smallest residual of all passes
  float weight[L::R];    // 2^(trial - max trial), 0 at padded columns
  float shift[L::R];     // log domain: added to exponents of a starving column
  float marginal[L::R];  // c of the accepted point
  float log_c[L::R];     // log2 c of the trial
  float ratio[L::R];     // log2 of what c is to become over c, at the accepted point
  float x[L::R];         // right-hand side and solution of the pivot system; before it 1 / mass (glue.h)
  float extra[2][L::R];
  // Of both sides (glue.h): kappa, and the rounding that keeps a share of each pivot and hands on the rest.
  float kappa[2], kept[2][L::R], target[2][L::R];
  float fold[2][L::kThreads];  // partial sums of columns
  Control control;
};

/// Columns from the true number of pivots on have this score; finite, so that differences stay numbers.
constexpr float kNoScore = -1e30f;

template <class L>
struct Cta {
  Shared<L>& shared;
  // R >= 16: [3][R][padded_dim + kTermPadding], the bf16 terms of a matrix (products.h); else [R][stride].
  float* matrix[2];
  float* scratch;  // of outer_sum.h, system.h and mass_gradient (adjoint.h)
  float* scores;   // of the resident solver where L::kInShared (tiles.h)
  int stride;      // padded_dim + kRowPadding
  int stage_rows;  // PivotArgs
  int lane, warp, rank, ranks, parity;
  RowRange rows;

  PIVOT_DEVICE int row(int block, int i) const {
    return rows.first + block * L::kBlockRows + warp * L::kWarpRows + unit_row<L>(i, lane);
  }
  PIVOT_DEVICE float share(int block, int i) const { return rows.share(row(block, i)); }
  PIVOT_DEVICE int column(int c) const { return unit_column<L>(c, lane); }
};

constexpr int kTerms = 3;  // bf16 numbers whose sum is a float32 number

/// Floats that `count` float32 numbers take as bf16 terms.
PIVOT_HOST_DEVICE constexpr int term_floats(int count) {
  return (kTerms * count + 1) / 2;
}
/// Floats of a matrix [R][padded_dim].
template <class L>
PIVOT_HOST_DEVICE constexpr int matrix_floats(int padded_dim) {
  return L::kQuad ? term_floats(L::R * (padded_dim + kTermPadding)) : L::R * (padded_dim + kRowPadding);
}
/// Floats of `scratch`: rows of weights and values (outer_sum.h) or a matrix [R][padded_dim + kRowPadding]
/// (glue.h), each of which is more than the system needs.
template <class L>
PIVOT_HOST_DEVICE constexpr int scratch_floats(int padded_dim, int stage_rows) {
  if (!L::kQuad) return kMostStageRows * (L::R + padded_dim + 2 * kRowPadding);
  const int stage = term_floats(stage_rows * (L::R + padded_dim + 2 * kTermPadding));
  const int matrix = L::R * (padded_dim + kRowPadding);
  return stage > matrix ? stage : matrix;
}

template <class L>
PIVOT_DEVICE Cta<L> make_cta(const PivotArgs& p, int matrices) {
  unsigned char* memory = shared_memory();
  const int stride = p.padded_dim + kRowPadding;
  const int size = matrix_floats<L>(p.padded_dim);
  float* after = reinterpret_cast<float*>(memory + (sizeof(Shared<L>) + 15) / 16 * 16);
  Cta<L> cta{*reinterpret_cast<Shared<L>*>(memory),
             {after, after},
             after + matrices * size,
             after + matrices * size + scratch_floats<L>(p.padded_dim, p.stage_rows),
             stride,
             p.stage_rows,
             0,
             0,
             0,
             1,
             0,
             {}};
  if (matrices > 1) cta.matrix[1] = after + size;
  cta.lane = thread_index() % kWarp;
  cta.warp = thread_index() / kWarp;
  cta.rank = cluster_rank();
  cta.ranks = cluster_size();
  return cta;
}

struct Sum {
  static PIVOT_DEVICE float apply(float a, float b) { return a + b; }
};
struct Maximum {
  static PIVOT_DEVICE float apply(float a, float b) { return fmaxf(a, b); }
};

/// Reduces kCount numbers at once over the lanes that differ in the bits kMask, 2 kMask, .. 16: at each step
/// a lane hands over half of its numbers, so that most of them are exchanged once. The order of each sum is
/// that of an exchange tree. `x` ends with the numbers first, first + 1, ..
template <class Op, int kMask, int kCount>
PIVOT_DEVICE void fold_lanes(float* x, int lane, int& first) {
  if constexpr (kMask < kWarp) {
    constexpr int kHalf = kCount > 1 ? kCount / 2 : 1;
    const bool upper = kCount > 1 && (lane & kMask) != 0;
    PIVOT_UNROLL
    for (int i = 0; i < kHalf; ++i) {
      const float other = x[kCount > 1 ? i + kHalf : i];
      const float kept = upper ? other : x[i], given = upper ? x[i] : other;
      x[i] = Op::apply(kept, shuffle_xor(given, kMask));
    }
    first += upper ? kHalf : 0;
    fold_lanes<Op, 2 * kMask, kHalf>(x, lane, first);
  }
}

/// shared.total[j] = reduction of `values` over all rows of the cluster; total[R], total[R + 1] those of the
/// scalars, of which each row has one (the lanes that share a row hold equal copies). Ends with a CTA
/// barrier.
template <class L, class Op>
PIVOT_DEVICE void reduce_columns(Cta<L>& cta, const float (&values)[L::kCols], float first, float second) {
  constexpr int kMask = L::kQuad ? 4 : 1, kLanes = kWarp / kMask;  // lanes that own the same column
  constexpr int kFolded = L::kCols > kLanes ? L::kCols / kLanes : 1;
  constexpr int kCopies = L::kCols < kLanes ? L::kCols * kMask : kWarp;  // lanes from here on hold copies
  Shared<L>& sm = cta.shared;
  float x[L::kCols], scalars[kScalars] = {first, second};
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) x[c] = values[c];
  int column = 0, scalar = 0;
  fold_lanes<Op, kMask, L::kCols>(x, cta.lane, column);
  fold_lanes<Op, kMask, kScalars>(scalars, cta.lane, scalar);
  if (cta.lane < kCopies) {
    PIVOT_UNROLL
    for (int c = 0; c < kFolded; ++c) sm.part[cta.warp][cta.column(column + c)] = x[c];
  }
  if (cta.lane == 0 || cta.lane == kMask) sm.part[cta.warp][L::R + scalar] = scalars[0];
  cta_sync();
  const int j = thread_index();
  if (j < L::R + kScalars) {
    float x = sm.part[0][j];
    PIVOT_UNROLL
    for (int w = 1; w < L::kWarps; ++w) x = Op::apply(x, sm.part[w][j]);
    for (int r = 0; r < cta.ranks; ++r) *cluster_peer(&sm.slot[cta.parity][cta.rank][j], r) = x;
  }
  cluster_sync();
  if (j < L::R + kScalars) {
    float x = sm.slot[cta.parity][0][j];
    for (int r = 1; r < cta.ranks; ++r) x = Op::apply(x, sm.slot[cta.parity][r][j]);
    sm.total[j] = x;
  }
  cta.parity ^= 1;
  cta_sync();
}

/// Room for the partial results of the CTAs of cluster `index`.
template <class L>
PIVOT_DEVICE float* partial_sums(const Cta<L>& cta, const PivotArgs& p, int index) {
  const int widest = L::R > p.padded_dim ? L::R : p.padded_dim;
  return p.partial + static_cast<int64_t>(index) * cta.ranks * L::R * widest;
}

/// Adds the CTAs' partial results [ranks, count] in the order of the ranks into `result` [count], both in
/// global memory. Everybody may read `result`, and write `partial` again, afterwards.
template <class L>
PIVOT_DEVICE void reduce_partials(const Cta<L>& cta, const float* partial, float* result, int count) {
  cluster_sync();
  const Quad* part = reinterpret_cast<const Quad*>(partial);
  count /= 4;  // R is a multiple of 4
  for (int e = cta.rank * L::kThreads + thread_index(); e < count; e += cta.ranks * L::kThreads) {
    Quad x[kMaxCluster];  // all of them under way at once
    PIVOT_UNROLL
    for (int r = 0; r < kMaxCluster; ++r) x[r] = r < cta.ranks ? part[r * count + e] : Quad{0, 0, 0, 0};
    PIVOT_UNROLL
    for (int r = 1; r < kMaxCluster; ++r)
      x[0] = {x[0].x + x[r].x, x[0].y + x[r].y, x[0].z + x[r].z, x[0].w + x[r].w};
    reinterpret_cast<Quad*>(result)[e] = x[0];
  }
  cluster_sync();
}

}  // namespace lotformer::ops::pivot::cuda
