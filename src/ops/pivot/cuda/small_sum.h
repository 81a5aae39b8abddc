// SPDX-License-Identifier: MIT
// Sums over tokens of outer products for R <= 8: every warp adds its own rows in registers, without a
// barrier, and the warps are added in order at the end. A thread owns a row of w: it adds the products of
// that row with itself (SmallGram), or hands it round while the lanes own the columns of u (SmallSum).
#pragma once

#include "products.h"

namespace lotformer::ops::pivot::cuda {

/// Row and column of element `index` of a lower triangle that is numbered row by row.
struct TrianglePlace {
  int row, column;

  explicit PIVOT_DEVICE TrianglePlace(int index) : row(0) {
    PIVOT_UNROLL
    for (int next = 1; next < 8; ++next) row += next * (next + 1) / 2 <= index;
    column = index - row * (row + 1) / 2;
  }
};

/// sum_i w_i. w_i. for R <= 8, a thread's rows in its registers.
template <class L>
struct SmallGram {
  static constexpr int kProducts = L::R * (L::R + 1) / 2;
  float product[kProducts] = {};

  PIVOT_DEVICE void add(const Unit<L>& w) {
    PIVOT_UNROLL
    for (int i = 0, k = 0; i < L::R; ++i) {
      PIVOT_UNROLL
      for (int j = 0; j <= i; ++j, ++k) product[k] = fmaf(w[0][i], w[0][j], product[k]);
    }
  }

  /// out [R][R] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int, float scale) const {
    PIVOT_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      const float x = warp_sum(product[k]);
      if (cta.lane == 0) cta.scratch[cta.warp * kProducts + k] = x;
    }
    cta_sync();
    if (thread_index() >= kProducts) return;
    const TrianglePlace at(thread_index());
    float x = 0;
    PIVOT_UNROLL
    for (int w = 0; w < L::kWarps; ++w) x += cta.scratch[w * kProducts + thread_index()];
    out[at.row * L::R + at.column] = out[at.column * L::R + at.row] = scale * x;
  }
};

/// sum_i w_i. u_i. for R <= 8.
template <class L>
struct SmallSum {
  Quad element[L::R] = {};

  /// Adds the rows of the calling warp in `block`; w: the row of the calling thread. A lane owns four
  /// columns of u, so that 4 or 2 rows are added at a time.
  template <bool kBf16>
  PIVOT_DEVICE void add_rows(const Cta<L>& cta, int block, const RowSource& source, const Unit<L>& w,
                             int columns) {
    constexpr int kAhead = 8;
    const int lanes = columns / 4, step = kWarp / lanes, own = cta.lane / lanes;
    const int first = cta.rows.first + block * L::kBlockRows + cta.warp * L::kWarpRows;
    PIVOT_ROLLED
    for (int k = 0; k < kWarp; k += kAhead * step) {
      RawQuad raw[kAhead];
      PIVOT_UNROLL
      for (int i = 0; i < kAhead; ++i)
        raw[i] = source.template quad<kBf16>(first + k + i * step + own, cta.lane % lanes * 4);
      PIVOT_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        const Pair low = raw[i].template pair<kBf16>(0), high = raw[i].template pair<kBf16>(1);
        PIVOT_UNROLL
        for (int j = 0; j < L::R; ++j) {
          const float x = shuffle_from(w[0][j], k + i * step + own);
          element[j].x = fmaf(x, low.x, element[j].x);
          element[j].y = fmaf(x, low.y, element[j].y);
          element[j].z = fmaf(x, high.x, element[j].z);
          element[j].w = fmaf(x, high.y, element[j].w);
        }
      }
    }
  }
  PIVOT_DEVICE void add(const Cta<L>& cta, int block, const RowSource& source, const Unit<L>& w,
                        int columns) {
    if (source.bf16) {
      add_rows<true>(cta, block, source, w, columns);
    } else {
      add_rows<false>(cta, block, source, w, columns);
    }
  }

  /// Over the lanes that own the same columns: 8 apart, and with more than 32 columns 16.
  static PIVOT_DEVICE float over_lanes(float x, int lanes) {
    if (lanes == 8) x += shuffle_xor(x, 8);
    return x + shuffle_xor(x, 16);
  }

  /// out [R][columns] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int columns, float scale) const {
    const int lanes = columns / 4;
    PIVOT_UNROLL
    for (int j = 0; j < L::R; ++j) {
      const Quad x = {over_lanes(element[j].x, lanes), over_lanes(element[j].y, lanes),
                      over_lanes(element[j].z, lanes), over_lanes(element[j].w, lanes)};
      float* place = cta.scratch + (cta.warp * L::R + j) * columns + cta.lane * 4;
      if (cta.lane < lanes) *reinterpret_cast<Quad*>(place) = x;
    }
    cta_sync();
    for (int e = thread_index(); e < L::R * columns; e += L::kThreads) {
      float x = 0;
      PIVOT_UNROLL
      for (int w = 0; w < L::kWarps; ++w) x += cta.scratch[w * L::R * columns + e];
      out[e] = scale * x;
    }
  }
};

}  // namespace lotformer::ops::pivot::cuda
