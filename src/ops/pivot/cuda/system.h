// SPDX-License-Identifier: MIT
// The r x r system of Newton's step and of the implicit gradient: ((1 + kappa) diag(c) - theta G) x = rhs,
// all CTAs of a cluster redundantly.
//
// Scaled by q = sqrt(c) to the diagonal 1 + kappa; theta q q^T lifts the null vector q (at theta = 1) and
// leaves the rest as it is; a jitter keeps float32 positive definite. Gauss-Jordan elimination, which needs
// no pivoting on a positive definite matrix and no substitution behind it: the matrix is in registers, a tile
// a thread, and a column goes through shared memory, one CTA barrier each.
#pragma once

#include "exchange.h"

namespace lotformer::ops::pivot::cuda {

constexpr float kTiny = static_cast<float>(rules::Precision<float>::kTiny);
constexpr float kJitter = static_cast<float>(rules::Precision<float>::kJitter);

template <class L>
constexpr int kSlots = (L::R + kWarp - 1) /
                       kWarp;  // columns a lane owns where a warp works on all of them: j = slot * 32 + lane

/// Sum over the columns j < n of value(j), on all lanes of the warp that calls it.
template <class L, class F>
PIVOT_DEVICE float column_sum(const Cta<L>& cta, int n, F value) {
  float x = 0;
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) x += value(j);
  }
  return warp_sum(x);
}
template <class L, class F>
PIVOT_DEVICE float column_max(const Cta<L>& cta, int n, F value) {
  float x = kNoScore;
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) x = fmaxf(x, value(j));
  }
  return warp_max(x);
}
/// Of each of the numbers over the warp, on all lanes: the sum of the first kSums, the largest of the others;
/// at the same time, so that they wait together.
template <int kSums, int kCount>
PIVOT_DEVICE void warp_reduce(float (&x)[kCount]) {
  PIVOT_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) {
    PIVOT_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const float other = shuffle_xor(x[i], mask);
      x[i] = i < kSums ? x[i] + other : fmaxf(x[i], other);
    }
  }
}
template <class L, class F>
PIVOT_DEVICE void for_columns(const Cta<L>& cta, int n, F f) {
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) f(j);
  }
}

/// Which elements of the r x r matrix a thread holds in registers: those at (down + kDown a, across + kAcross
/// b). Threads of a column follow each other, so that those who show a column are few warps.
template <class L>
struct SystemGrid {
  static constexpr int kDown = L::R < 16 ? L::R : 16;
  static constexpr int kAcross = kDown;  // more threads for less elements each would take longer
  static constexpr int kRows = L::R / kDown, kColumns = L::R / kAcross;
  static constexpr int kHolders = kDown * kAcross;
  static constexpr int kThreads = kHolders > kWarp ? kHolders : kWarp;  // the others only wait
  int down, across;
  bool used;  // small matrices leave threads of the first warp over, which do what others do

  PIVOT_DEVICE SystemGrid()
      : down(thread_index() % kDown),
        across(thread_index() / kDown % kAcross),
        used(thread_index() < kHolders) {}
  PIVOT_DEVICE int row(int a) const { return down + kDown * a; }
  PIVOT_DEVICE int column(int b) const { return across + kAcross * b; }
};

/// Shared memory of a system, in Cta::scratch.
template <class L>
struct SystemMemory {
  static constexpr int kShown = L::R + 2;
  float* root;          // q [R]
  float* inverse_root;  // 1 / q [R]
  float* right;         // right-hand side of the scaled system [R]
  float* inverse;       // 1 / pivot [R]
  float* shown;         // [2][kShown]: a column, its right-hand side, its pivot; by its parity

  explicit PIVOT_DEVICE SystemMemory(float* scratch)
      : root(scratch),
        inverse_root(scratch + L::R),
        right(scratch + 2 * L::R),
        inverse(scratch + 3 * L::R),
        shown(scratch + 4 * L::R) {}
};
static_assert(4 * 4 + 2 * SystemMemory<Layout<4, 4>>::kShown <=
                  scratch_floats<Layout<4, 4>>(32, kLeastStageRows),
              "the smallest");

/// 1 / d of a normal d to an ulp or two, without the branch of a division.
PIVOT_DEVICE float reciprocal(float d) {
  const float r = invert_fast(d);
  return fmaf(fmaf(-d, r, 1.0f), r, r);
}

/// A matrix with one right-hand side, element by element in the registers of the CTA.
template <class L>
struct System {
  using Grid = SystemGrid<L>;
  Grid grid;
  float m[Grid::kRows][Grid::kColumns];  // what is left of the column in hand has no meaning any more
  float y[Grid::kRows];                  // of the thread's rows; the threads of a row hold the same

  /// Shows the others column k, which stands in tile `a`, and its right-hand side.
  PIVOT_DEVICE void show_column(const SystemMemory<L>& memory, int k, int a) const {
    if (!grid.used || grid.column(a) != k) return;
    float* shown = memory.shown + (k & 1) * SystemMemory<L>::kShown;
    PIVOT_UNROLL
    for (int i = 0; i < Grid::kRows; ++i) shown[grid.row(i)] = m[i][a];
    if (grid.row(a) != k) return;
    shown[L::R] = y[a];
    shown[L::R + 1] = m[a][a];
  }

  /// Takes column k, which everybody sees, out of all other rows. Columns before tile `a` are done. Row k to
  /// the right of the pivot is column k below it. False when the pivot is not positive.
  PIVOT_DEVICE bool eliminate(const SystemMemory<L>& memory, int k, int a) {
    const float* shown = memory.shown + (k & 1) * SystemMemory<L>::kShown;
    const float d = shown[L::R + 1], r = reciprocal(d), y_k = shown[L::R];
    float factor[Grid::kRows];
    PIVOT_UNROLL
    for (int i = 0; i < Grid::kRows; ++i) {
      factor[i] = -shown[grid.row(i)] * r;
      if (i == a && grid.row(i) == k) factor[i] = 0;
      y[i] = fmaf(factor[i], y_k, y[i]);
    }
    PIVOT_UNROLL
    for (int j = a; j < Grid::kColumns; ++j) {
      const float row_k = shown[grid.column(j)];
      PIVOT_UNROLL
      for (int i = 0; i < Grid::kRows; ++i) m[i][j] = fmaf(factor[i], row_k, m[i][j]);
    }
    if (thread_index() == 0) memory.inverse[k] = r;
    return d > 0;
  }

  /// Gauss-Jordan elimination of the first n columns: the solution is y / pivot. False when a pivot is not
  /// positive. Ends without a barrier.
  PIVOT_DEVICE bool solve(const SystemMemory<L>& memory, int n) {
    static_assert(Grid::kAcross == Grid::kDown, "column k stands in the tile of row k");
    bool positive = true;
    show_column(memory, 0, 0);
    PIVOT_UNROLL
    for (int a = 0; a < Grid::kRows; ++a) {
      const int next = (a + 1) * Grid::kDown, end = n < next ? n : next;
      PIVOT_ROLLED
      for (int k = a * Grid::kDown; k < end; ++k) {
        cta_sync();
        if (thread_index() >= Grid::kThreads) continue;
        positive = eliminate(memory, k, a) && positive;
        if (k + 1 < end) show_column(memory, k + 1, a);
      }
      if (a + 1 < Grid::kRows && next < n) show_column(memory, next, a + 1);
    }
    return positive;
  }
};

/// Solves for shared.x (in: right-hand side, read by warp 0 only; out: solution with mean zero, c . x = 0
/// where kappa > 0); c in shared.marginal, G [R][R] in global memory. False, and shared.x = 0, when the
/// matrix is not numerically positive definite, as warp 0 learns. All threads of the CTA call it; ends with a
/// barrier.
template <class L>
PIVOT_DEVICE bool solve_system(const Cta<L>& cta, const float* gram, float theta, float kappa, int n) {
  using Grid = SystemGrid<L>;
  Shared<L>& sm = cta.shared;
  const SystemMemory<L> memory(cta.scratch);
  if (cta.warp == 0) {
    const float sum = column_sum(cta, n, [&](int j) { return sm.x[j]; });
    for_columns(cta, L::R, [&](int j) {
      const bool real = j < n;
      memory.root[j] = real ? sqrtf(fmaxf(sm.marginal[j], kTiny)) : 0.0f;
      memory.inverse_root[j] = real ? 1.0f / memory.root[j] : 0.0f;
      memory.right[j] = real ? (sm.x[j] - sm.marginal[j] * sum) * memory.inverse_root[j] : 0.0f;
    });
  }
  System<L> system;
  const Grid& grid = system.grid;
  PIVOT_UNROLL
  for (int a = 0; a < Grid::kRows; ++a) {
    PIVOT_UNROLL
    for (int b = 0; b < Grid::kColumns; ++b) {
      const bool real = grid.row(a) < n && grid.column(b) < n;
      system.m[a][b] = real ? gram[grid.row(a) * L::R + grid.column(b)] : 0.0f;
    }
  }
  cta_sync();
  PIVOT_UNROLL
  for (int a = 0; a < Grid::kRows; ++a) {
    const int i = grid.row(a);
    system.y[a] = memory.right[i];
    PIVOT_UNROLL
    for (int b = 0; b < Grid::kColumns; ++b) {
      const int j = grid.column(b);
      const float scaled = system.m[a][b] * (memory.inverse_root[i] * memory.inverse_root[j]);
      system.m[a][b] =
          theta * (memory.root[i] * memory.root[j] - scaled) + (i == j ? 1 + kappa + kJitter : 0.0f);
    }
  }
  const bool positive = system.solve(memory, n);
  cta_sync();
  if (grid.used && grid.across == 0) {
    PIVOT_UNROLL
    for (int a = 0; a < Grid::kRows; ++a) {
      const int i = grid.row(a);
      if (i < n) sm.x[i] = system.y[a] * memory.inverse[i] * memory.inverse_root[i];
    }
  }
  cta_sync();
  if (cta.warp == 0) {
    const float total =
        column_sum(cta, n, [&](int j) { return kappa > 0 ? sm.x[j] * sm.marginal[j] : sm.x[j]; });
    const float mean = kappa > 0 ? total : total / static_cast<float>(n);
    for_columns(cta, n, [&](int j) { sm.x[j] = positive ? sm.x[j] - mean : 0.0f; });
  }
  cta_sync();
  return positive;
}

}  // namespace lotformer::ops::pivot::cuda
