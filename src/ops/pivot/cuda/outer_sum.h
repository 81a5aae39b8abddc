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

/// Staging area of rows: w [kStageRows][R], u [kStageRows][N].
struct Stage {
  Terms weights, values;
};

template <class L>
PIVOT_DEVICE Stage make_stage(const Cta<L>& cta) {
  const int dim = cta.stride - kRowPadding;
  Stage stage;
  stage.weights = {reinterpret_cast<uint16_t*>(cta.scratch), L::R + kTermPadding,
                   kStageRows * (L::R + kTermPadding)};
  stage.values = {stage.weights.first + kTerms * stage.weights.plane, dim + kTermPadding,
                  kStageRows * (dim + kTermPadding)};
  return stage;
}

/// kTriangle: the sum is symmetric, and only tiles that touch its lower triangle are computed.
template <class L, int kMaxColumns, bool kTriangle = false>
struct OuterSum {
  static constexpr int kRowTiles = L::R / 16;
  static constexpr int kMostTiles = kTriangle ? kRowTiles * (kRowTiles + 1) : kRowTiles * (kMaxColumns / 8);
  static constexpr int kTiles = (kMostTiles + L::kWarps - 1) / L::kWarps;
  static_assert(kTriangle || L::kWarps % kRowTiles == 0, "tiles of a warp would stand in different rows");
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

  /// The first kCount tiles of the warp: adds the staged rows, of which u has kValueTerms terms. Tiles are
  /// in step, so that one does not wait for the products of another. A tile that is not there is computed
  /// from the last and never stored.
  template <int kCount, int kValueTerms>
  PIVOT_DEVICE void add_tiles(const Cta<L>& cta, const Terms& weights, const Terms& values, int columns) {
    Place at[kCount];
    PIVOT_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const int index = cta.warp + i * L::kWarps, last = tiles(columns) - 1;
      at[i] = place_of(index < last ? index : last);
    }
    PIVOT_ROLLED
    for (int k = 0; k < kStageRows; k += kMmaDepth) {
      uint32_t b[kValueTerms][kCount][4];
      PIVOT_UNROLL
      for (int term = 0; term < kValueTerms; ++term) {
        PIVOT_UNROLL
        for (int i = 0; i < kCount; ++i)
          values.template block<false>(term, k, at[i].column / 2 * 16, cta.lane, b[term][i]);
      }
      PIVOT_UNROLL
      for (int term = 0; term < kTerms; ++term) {
        uint32_t a[kCount][4];
        PIVOT_UNROLL
        for (int i = 0; i < kCount; ++i) {
          if (kTriangle || i == 0) {
            weights.template block<true>(term, k, at[i].row * 16, cta.lane, a[i]);
          } else {  // all tiles of a warp stand in the same rows
            PIVOT_UNROLL
            for (int e = 0; e < 4; ++e) a[i][e] = a[0][e];
          }
        }
        PIVOT_UNROLL
        for (int other = 0; other < kValueTerms && other < kTerms - term; ++other) {
          PIVOT_UNROLL
          for (int i = 0; i < kCount; ++i) {
            const bool odd = at[i].column & 1;
            mma_bf16(tile[i], a[i], odd ? b[other][i][2] : b[other][i][0],
                     odd ? b[other][i][3] : b[other][i][1]);
          }
        }
      }
    }
  }

  /// Adds the staged rows. `columns` = N, a multiple of 8; kValueTerms: 1 where u are bf16 numbers.
  template <int kValueTerms>
  PIVOT_DEVICE void add(const Cta<L>& cta, const Terms& weights, const Terms& values, int columns) {
    constexpr int kHalf = (kTiles + 1) / 2;
    if (kTriangle || tiles(columns) > kHalf * L::kWarps) {
      add_tiles<kTiles, kValueTerms>(cta, weights, values, columns);
    } else {
      add_tiles<kHalf, kValueTerms>(cta, weights, values, columns);
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
  constexpr int kMost = kStageRows * kMaxHeadDim / (4 * L::kThreads);
  const int bits = 3 + ((cta.stride - kRowPadding) >> 6), step = L::kThreads >> bits;
  const int column = (thread_index() & ((1 << bits) - 1)) * 4;
  RawQuad raw[kMost];
  PIVOT_UNROLL
  for (int i = 0; i < kMost; ++i) {
    const int row = (thread_index() >> bits) + i * step;
    if (row < kStageRows) raw[i] = source.template quad<kBf16>(first_row + row, column);
  }
  PIVOT_UNROLL
  for (int i = 0; i < kMost; ++i) {
    const int row = (thread_index() >> bits) + i * step;
    if (row >= kStageRows) continue;
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
  for (int first = 0; first < L::kBlockRows; first += kStageRows) {
    const int place = cta.warp * L::kWarpRows - first;
    if (place >= 0 && place < kStageRows) write(stage, place);
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
