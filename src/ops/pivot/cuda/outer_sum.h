// SPDX-License-Identifier: MIT
// Sums over tokens of outer products, out [R][N] += sum_i w_i. u_i. : pooled values, Gram matrix, gradient of
// the pivots.
//
// R >= 16 (OuterSum): some rows (Cta::stage_rows) of w and u at a time go through shared memory; every warp
// owns some 16 x 16 blocks of `out` in registers and runs over all rows in order. So the order of the sum is
// the order of the rows, and no reduction over warps is needed. R <= 8: small_sum.h.
#pragma once

#include <type_traits>

#include "small_sum.h"

namespace lotformer::ops::pivot::cuda {

/// Staging area of rows: w [stage_rows][R], u [stage_rows][N].
struct Stage {
  Terms weights, values;
};

template <class L>
PIVOT_DEVICE Stage make_stage(const Cta<L>& cta) {
  const int dim = cta.stride - kRowPadding;
  Stage stage;
  stage.weights = {reinterpret_cast<uint16_t*>(cta.scratch), L::R + kTermPadding,
                   cta.stage_rows * (L::R + kTermPadding)};
  stage.values = {stage.weights.first + kTerms * stage.weights.plane, dim + kTermPadding,
                  cta.stage_rows * (dim + kTermPadding)};
  return stage;
}

/// kTriangle: the sum is symmetric, and only the blocks of its lower triangle are computed.
template <class L, int kMaxColumns, bool kTriangle = false>
struct OuterSum {
  static constexpr int kRowBlocks = L::R / 16;
  static constexpr int kMostBlocks =
      kTriangle ? kRowBlocks * (kRowBlocks + 1) / 2 : kRowBlocks * (kMaxColumns / 16);
  static constexpr int kBlocks = (kMostBlocks + L::kWarps - 1) / L::kWarps;
  static_assert(kTriangle || L::kWarps % kRowBlocks == 0, "blocks of a warp would stand in different rows");
  float sum[kBlocks][2][4] = {};  // blocks of 16 x 16, each two accumulators of 8 columns

  /// In units of 16; the blocks of a triangle are numbered row by row.
  struct Place {
    int row, column;
  };
  static PIVOT_DEVICE Place place_of(int index) {
    if (!kTriangle) return {index % kRowBlocks, index / kRowBlocks};
    int row = 0;
    PIVOT_UNROLL
    for (int next = 1; next < kRowBlocks; ++next) row += next * (next + 1) / 2 <= index;
    return {row, index - row * (row + 1) / 2};
  }
  static PIVOT_DEVICE int blocks(int columns) {
    return kTriangle ? kMostBlocks : kRowBlocks * (columns / 16);
  }

  /// Adds the staged rows to a block, of which u has kValueTerms terms.
  template <int kValueTerms>
  static PIVOT_DEVICE void add_block(const Cta<L>& cta, const Terms& weights, const Terms& values, Place at,
                                     float (&block)[2][4]) {
    PIVOT_ROLLED
    for (int k = 0; k < cta.stage_rows; k += kMmaDepth) {
      uint32_t a[kTerms][4], b[kValueTerms][4];
      PIVOT_UNROLL
      for (int term = 0; term < kTerms; ++term)
        weights.template block<true>(term, k, at.row * 16, cta.lane, a[term]);
      PIVOT_UNROLL
      for (int term = 0; term < kValueTerms; ++term)
        values.template block<false>(term, k, at.column * 16, cta.lane, b[term]);
      PIVOT_UNROLL
      for (int term = 0; term < kTerms; ++term) {
        PIVOT_UNROLL
        for (int other = 0; other < kValueTerms && other < kTerms - term; ++other) {
          mma_bf16(block[0], a[term], b[other][0], b[other][1]);
          mma_bf16(block[1], a[term], b[other][2], b[other][3]);
        }
      }
    }
  }

  /// Adds the staged rows. `columns` = N, a multiple of 16; kValueTerms: 1 where u are bf16 numbers.
  template <int kValueTerms>
  PIVOT_DEVICE void add(const Cta<L>& cta, const Terms& weights, const Terms& values, int columns) {
    PIVOT_UNROLL
    for (int i = 0; i < kBlocks; ++i) {
      const int index = cta.warp + i * L::kWarps;
      if (index < blocks(columns)) add_block<kValueTerms>(cta, weights, values, place_of(index), sum[i]);
    }
  }

  /// out [R][columns] = scale * sum.
  PIVOT_DEVICE void store(const Cta<L>& cta, float* out, int columns, float scale) const {
    const int g = cta.lane >> 2, q = cta.lane & 3;
    PIVOT_UNROLL
    for (int i = 0; i < kBlocks; ++i) {
      const int index = cta.warp + i * L::kWarps;
      if (index >= blocks(columns)) continue;
      const Place at = place_of(index);
      const bool mirrored = kTriangle && at.column < at.row;  // the blocks on the diagonal are complete
      PIVOT_UNROLL
      for (int half = 0; half < 2; ++half) {
        PIVOT_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int row = at.row * 16 + g + 8 * (e / 2), column = at.column * 16 + 8 * half + 2 * q + e % 2;
          out[row * columns + column] = scale * sum[i][half][e];
          if (mirrored) out[column * columns + row] = scale * sum[i][half][e];
        }
      }
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
PIVOT_DEVICE void write_weights(const Cta<L>& cta, const Stage& stage, int place, Weight weight) {
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    const int row = place + unit_row<L>(i, cta.lane);
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; c += 2)
      stage.weights.set(row, cta.column(c), Pair{weight(i, c), weight(i, c + 1)});
  }
}

/// Rows of `source` into the stage; bf16 numbers are their first term.
template <class L, bool kBf16>
PIVOT_DEVICE void write_values(const Cta<L>& cta, const Stage& stage, const RowSource& source,
                               int first_row) {
  constexpr int kMost = kMostStageRows * kMaxHeadDim / (4 * L::kThreads);
  const int bits = 3 + ((cta.stride - kRowPadding) >> 6), step = L::kThreads >> bits;
  const int column = (thread_index() & ((1 << bits) - 1)) * 4;
  RawQuad raw[kMost];
  PIVOT_UNROLL
  for (int i = 0; i < kMost; ++i) {
    const int row = (thread_index() >> bits) + i * step;
    if (row < cta.stage_rows) raw[i] = source.template quad<kBf16>(first_row + row, column);
  }
  PIVOT_UNROLL
  for (int i = 0; i < kMost; ++i) {
    const int row = (thread_index() >> bits) + i * step;
    if (row >= cta.stage_rows) continue;
    if constexpr (kBf16) {
      *reinterpret_cast<PackedQuad*>(stage.values.at(0, row, column)) = {raw[i].word[0], raw[i].word[1]};
    } else {
      stage.values.set(row, column, raw[i].template pair<false>(0));
      stage.values.set(row, column + 2, raw[i].template pair<false>(1));
    }
  }
}

/// Adds one block: write(stage, place) stages the weights of the calling warp (write_weights), `stage_values`
/// what they are multiplied with, `add` adds the stage. All threads of the CTA call it together.
template <class L, class Write, class Values, class Add>
PIVOT_DEVICE void for_stages(const Cta<L>& cta, int block, Write write, Values stage_values, Add add) {
  const Stage stage = make_stage(cta);
  PIVOT_ROLLED
  for (int first = 0; first < L::kBlockRows; first += cta.stage_rows) {
    const int place = cta.warp * L::kWarpRows - first;
    if (place >= 0 && place < cta.stage_rows) write(stage, place);
    stage_values(stage, cta.rows.first + block * L::kBlockRows + first);
    cta_sync();
    add(stage);
    cta_sync();
  }
}

/// u comes from `source`, or is the weight itself (`source` null: the Gram matrix).
template <class L, class Outer, class Write>
PIVOT_DEVICE void add_block(const Cta<L>& cta, Outer& sum, int block, const RowSource* source, Write write) {
  const int columns = source ? cta.stride - kRowPadding : L::R;
  const auto values = [&](const Stage& stage, int row) {
    if (!source) return;
    if (source->bf16) {
      write_values<L, true>(cta, stage, *source, row);
    } else {
      write_values<L, false>(cta, stage, *source, row);
    }
  };
  for_stages(cta, block, write, values, [&](const Stage& stage) {
    const Terms& u = source ? stage.values : stage.weights;
    if (source && source->bf16) {
      sum.template add<1>(cta, stage.weights, u, columns);
    } else {
      sum.template add<kTerms>(cta, stage.weights, u, columns);
    }
  });
}

/// Adds one block of rows of `source` with the weights that the threads hold.
template <class L, class Sum>
PIVOT_DEVICE void add_rows(const Cta<L>& cta, Sum& sum, int block, const RowSource& source,
                           const Unit<L>& weights) {
  if constexpr (L::kQuad) {
    add_block(cta, sum, block, &source, [&](const Stage& stage, int place) {
      write_weights(cta, stage, place, [&](int i, int c) { return weights[i][c]; });
    });
  } else {
    sum.add(cta, block, source, weights, cta.stride - kRowPadding);
  }
}

}  // namespace lotformer::ops::pivot::cuda
