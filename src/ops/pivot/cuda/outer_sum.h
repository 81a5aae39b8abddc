// SPDX-License-Identifier: MIT
// Sums over tokens of outer products, out [R][N] += sum_i w_i. u_i. : pooled values, Gram matrix, gradient of
// the pivots.
//
// kStageRows rows of w and u at a time go through shared memory; every warp owns some 16 x 8 tiles of `out`
// in registers and runs over all rows in order. So the order of the sum is the order of the rows, and no
// reduction over warps is needed.
#pragma once

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
  static constexpr int kTiles = L::kQuad ? (kMostTiles + L::kWarps - 1) / L::kWarps : 1;
  static constexpr int kElements = L::kQuad ? 1 : (L::R * kMaxColumns + L::kThreads - 1) / L::kThreads;
  float tile[kTiles][4] = {};
  float element[kElements] = {};

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

  /// Adds the staged rows. `columns` = N, a multiple of 8 (of anything for R <= 8).
  PIVOT_DEVICE void add(const Cta<L>& cta, const Stage<L>& stage, int columns) {
    constexpr int ws = Stage<L>::kWeightStride;
    const int vs = stage.value_stride;
    if constexpr (L::kQuad) {
      const int g = cta.lane >> 2, q = cta.lane & 3;
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
    } else {
      PIVOT_UNROLL
      for (int i = 0; i < kElements; ++i) {
        const int e = thread_index() + i * L::kThreads;
        if (e >= L::R * columns) continue;
        PIVOT_ROLLED
        for (int k = 0; k < kStageRows; ++k)
          element[i] = fmaf(stage.weights[k * ws + e % L::R], stage.values[k * vs + e / L::R], element[i]);
      }
    }
  }

  /// out [R][columns] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int columns, float scale) const {
    if constexpr (L::kQuad) {
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
    } else {
      PIVOT_UNROLL
      for (int i = 0; i < kElements; ++i) {
        const int e = thread_index() + i * L::kThreads;
        if (e >= L::R * columns) continue;
        out[(e % L::R) * columns + e / L::R] = scale * element[i];
      }
    }
  }
};

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
  const int pairs = (cta.stride - kRowPadding) / 2;
  for (int e = thread_index(); e < kStageRows * pairs; e += L::kThreads) {
    const int row = e / pairs, column = e % pairs * 2;
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

}  // namespace lotformer::ops::pivot::cuda
