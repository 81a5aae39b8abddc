// SPDX-License-Identifier: MIT
// Sums over tokens of outer products, out [R][N] += sum_i w_i. u_i. : pooled values, Gram matrix, gradient of
// the pivots.
//
// R >= 16 (OuterSum): kStageRows rows of w and u at a time go through shared memory; every warp owns some 16
// x 8 tiles of `out` in registers and runs over all rows in order. So the order of the sum is the order of
// the rows, and no reduction over warps is needed. R <= 8: every warp adds its own rows in registers, without
// a barrier, and the warps are added in order at the end. A thread owns a row of w: it adds the products of
// that row with itself (SmallGram), or hands it round while the lanes own the columns of u (SmallSum).
#pragma once

#include <type_traits>

#include "products.h"

namespace lotformer::ops::pivot::cuda {

/// Staging area: w [kStageRows][R + pad], u [kStageRows][N + pad].
template <class L>
struct Stage {
  static constexpr int kWeightStride = L::R + kRowPadding;
  float* weights;
  float* values;
  int value_stride;
};

template <class L>
PIVOT_DEVICE Stage<L> make_stage(const Cta<L>& cta) {
  return {cta.scratch, cta.scratch + kStageRows * (L::R + kRowPadding), cta.stride};
}

/// kTriangle: the sum is symmetric, and only tiles that touch its lower triangle are computed.
template <class L, int kMaxColumns, bool kTriangle = false>
struct OuterSum {
  static constexpr int kRowTiles = L::R / 16;
  static constexpr int kMostTiles = kTriangle ? kRowTiles * (kRowTiles + 1) : kRowTiles * (kMaxColumns / 8);
  static constexpr int kTiles = (kMostTiles + L::kWarps - 1) / L::kWarps;
  float tile[kTiles][4] = {};

  /// Rows 16 `row` .. and columns 8 `column` .. of a tile; the tiles of a triangle are numbered row by row, 2
  /// (row + 1) in each.
  struct Place {
    int row, column;
  };
  static PIVOT_DEVICE Place place_of(int index) {
    if (!kTriangle) return {index % kRowTiles, index / kRowTiles};
    int row = 0;
    while ((row + 1) * (row + 2) <= index) ++row;
    return {row, index - row * (row + 1)};
  }
  static PIVOT_DEVICE int tiles(int columns) { return kTriangle ? kMostTiles : kRowTiles * (columns / 8); }

  /// Adds the staged rows. `columns` = N, a multiple of 8.
  PIVOT_DEVICE void add(const Cta<L>& cta, const Stage<L>& stage, int columns) {
    constexpr int ws = Stage<L>::kWeightStride;
    const int vs = stage.value_stride, g = cta.lane >> 2, q = cta.lane & 3;
    PIVOT_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      const int index = cta.warp + i * L::kWarps;
      if (index >= tiles(columns)) continue;
      const Place at = place_of(index);
      const float* w = stage.weights + 2 * q * ws + at.row * 16 + g;
      const float* u = stage.values + 2 * q * vs + at.column * 8 + g;
      PIVOT_ROLLED
      for (int k = 0; k < kStageRows; k += kMmaDepth, w += kMmaDepth * ws, u += kMmaDepth * vs) {
        SplitFragment a;
        a.set(0, {w[0], w[ws]});
        a.set(1, {w[8], w[ws + 8]});
        a.set(2, {w[8 * ws], w[9 * ws]});
        a.set(3, {w[8 * ws + 8], w[9 * ws + 8]});
        mma_split(tile[i], a, false, {u[0], u[vs]}, {u[8 * vs], u[9 * vs]});
      }
    }
  }

  /// out [R][columns] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int columns, float scale) const {
    const int g = cta.lane >> 2, q = cta.lane & 3;
    PIVOT_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      const int index = cta.warp + i * L::kWarps;
      if (index >= tiles(columns)) continue;
      const Place at = place_of(index);
      const bool mirrored = kTriangle && at.column < 2 * at.row;  // the blocks on the diagonal are complete
      PIVOT_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int row = at.row * 16 + g + 8 * (e / 2), column = at.column * 8 + 2 * q + e % 2;
        out[row * columns + column] = scale * tile[i][e];
        if (mirrored) out[column * columns + row] = scale * tile[i][e];
      }
    }
  }
};

/// Row and column of element `index` of a lower triangle that is numbered row by row.
struct TrianglePlace {
  int row, column;

  explicit PIVOT_DEVICE TrianglePlace(int index) : row(0) {
    while ((row + 1) * (row + 2) / 2 <= index) ++row;
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

/// sum_i w_i. u_i. for R <= 8: a lane owns two columns of u; with 32 columns the two halves of a warp take
/// turns.
template <class L>
struct SmallSum {
  Pair element[L::R] = {};

  /// Adds the rows of the calling warp in `block`; w: the row of the calling thread.
  PIVOT_DEVICE void add(const Cta<L>& cta, int block, const RowSource& source, const Unit<L>& w,
                        int columns) {
    const int halves = columns > kWarp ? 1 : 2, half = halves == 2 ? cta.lane / 16 : 0;
    const int column = (halves == 2 ? cta.lane % 16 : cta.lane) * 2;
    const int first = cta.rows.first + block * L::kBlockRows + cta.warp * L::kWarpRows;
    PIVOT_UNROLL_8
    for (int k = 0; k < kWarp; k += halves) {
      const int row = k + half;
      const Pair u = source.pair(first + row, column);
      PIVOT_UNROLL
      for (int j = 0; j < L::R; ++j) {
        const float x = shuffle_from(w[0][j], row);
        element[j].x = fmaf(x, u.x, element[j].x);
        element[j].y = fmaf(x, u.y, element[j].y);
      }
    }
  }

  /// out [R][columns] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int columns, float scale) const {
    const bool halves = columns <= kWarp;
    const int column = (halves ? cta.lane % 16 : cta.lane) * 2;
    PIVOT_UNROLL
    for (int j = 0; j < L::R; ++j) {
      Pair x = element[j];
      if (halves) x = {x.x + shuffle_xor(x.x, 16), x.y + shuffle_xor(x.y, 16)};
      float* place = cta.scratch + (cta.warp * L::R + j) * columns + column;
      if (!halves || cta.lane < 16) {
        place[0] = x.x;
        place[1] = x.y;
      }
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

/// sum_i w_i. u_i. of rows u [tokens, up to kMaxColumns], and the Gram matrix of w.
template <class L, int kMaxColumns>
using RowSum = std::conditional_t<L::kQuad, OuterSum<L, kMaxColumns>, SmallSum<L>>;
template <class L>
using GramSum = std::conditional_t<L::kQuad, OuterSum<L, L::R, true>, SmallGram<L>>;

/// The thread's elements weight(i, c) into the stage, this warp's rows beginning at row `place` of it.
template <class L, class Weight>
PIVOT_DEVICE void write_weights(const Cta<L>& cta, const Stage<L>& stage, int place, Weight weight) {
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    float* row = stage.weights + (place + unit_row<L>(i, cta.lane)) * Stage<L>::kWeightStride;
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) row[cta.column(c)] = weight(i, c);
  }
}

/// Rows of `source` into the stage.
template <class L>
PIVOT_DEVICE void write_values(const Cta<L>& cta, const Stage<L>& stage, const RowSource& source,
                               int first_row) {
  // A thread takes pairs of one column.
  const int bits = 4 + ((cta.stride - kRowPadding) >> 6);
  const int column = (thread_index() & ((1 << bits) - 1)) * 2;
  PIVOT_UNROLL_8
  for (int row = thread_index() >> bits; row < kStageRows; row += L::kThreads >> bits) {
    const Pair x = source.pair(first_row + row, column);
    stage.values[row * cta.stride + column] = x.x;
    stage.values[row * cta.stride + column + 1] = x.y;
  }
}

/// Adds one block: write(stage, place) stages the weights of the calling warp (write_weights), u comes from
/// `source`, or is the weight itself (`source` null: the Gram matrix). All threads of the CTA call it
/// together.
template <class L, class Outer, class Write>
PIVOT_DEVICE void add_block(const Cta<L>& cta, Outer& sum, int block, const RowSource* source, Write write) {
  Stage<L> stage = make_stage(cta);
  PIVOT_ROLLED
  for (int first = 0; first < L::kBlockRows; first += kStageRows) {
    const int place = cta.warp * L::kWarpRows - first;
    if (place >= 0 && place < kStageRows) write(stage, place);
    if (source) write_values(cta, stage, *source, cta.rows.first + block * L::kBlockRows + first);
    cta_sync();
    Stage<L> operands = stage;
    if (!source) {
      operands.values = stage.weights;
      operands.value_stride = Stage<L>::kWeightStride;
    }
    sum.add(cta, operands, source ? cta.stride - kRowPadding : L::R);
    cta_sync();
  }
}

/// Adds one block of rows of `source` with the weights that the threads hold.
template <class L, class Sum>
PIVOT_DEVICE void add_rows(const Cta<L>& cta, Sum& sum, int block, const RowSource& source,
                           const Unit<L>& weights) {
  if constexpr (L::kQuad) {
    add_block(cta, sum, block, &source, [&](const Stage<L>& stage, int place) {
      write_weights(cta, stage, place, [&](int i, int c) { return weights[i][c]; });
    });
  } else {
    sum.add(cta, block, source, weights, cta.stride - kRowPadding);
  }
}

}  // namespace lotformer::ops::pivot::cuda
