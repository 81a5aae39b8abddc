// SPDX-License-Identifier: MIT
// Products of token rows with a small matrix M in shared memory, float32-accurate on bf16 tensor cores.
//
// A float32 number is the sum of three bf16 numbers to 24 bits. Of the nine products of two such sums the six
// with i + j < 3 are kept (the rest is below 2^-24); three when the left operand is a bf16 number to begin
// with.
#pragma once

#include "exchange.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kMmaDepth = 16;        // contraction of one matrix instruction
constexpr int kProductColumns = 32;  // columns of tokens that are in registers at a time

PIVOT_DEVICE void split_bf16(Pair x, uint32_t (&term)[kTerms]) {
  PIVOT_UNROLL
  for (int i = 0; i < kTerms; ++i) {
    term[i] = pack_bf16(x.x, x.y);
    const Pair taken = unpack_bf16(term[i]);
    x.x -= taken.x;
    x.y -= taken.y;
  }
}

/// A matrix of float32 numbers in shared memory, as bf16 terms: split once, multiplied often.
struct Terms {
  uint16_t* first;  // [kTerms][plane]
  int stride, plane;

  PIVOT_DEVICE uint16_t* at(int term, int row, int column) const {
    return first + term * plane + row * stride + column;
  }
  /// Two columns of a row. `column` is even.
  PIVOT_DEVICE void set(int row, int column, Pair x) const {
    uint32_t term[kTerms];
    split_bf16(x, term);
    PIVOT_UNROLL
    for (int i = 0; i < kTerms; ++i) *reinterpret_cast<uint32_t*>(at(i, row, column)) = term[i];
  }
  PIVOT_DEVICE void set(int row, int column, float x) const {
    uint32_t term[kTerms];
    split_bf16({x, 0}, term);
    PIVOT_UNROLL
    for (int i = 0; i < kTerms; ++i) *at(i, row, column) = static_cast<uint16_t>(term[i]);
  }
  PIVOT_DEVICE float value(int row, int column) const {
    float x = 0;
    PIVOT_UNROLL
    for (int i = kTerms; i-- > 0;) x += bits_to_float(static_cast<uint32_t>(*at(i, row, column)) << 16);
    return x;
  }
  /// The block of 16 x 16 from (row, column) as an operand that is contracted over rows. kLeft: the fragment
  /// of a left operand, 16 columns of it; else the words of right operands, two for each 8 columns.
  template <bool kLeft>
  PIVOT_DEVICE void block(int term, int row, int column, int lane, uint32_t (&words)[4]) const {
    const int down = kLeft ? lane >> 4 : lane >> 3 & 1, right = kLeft ? lane >> 3 & 1 : lane >> 4;
    load_transposed(words, at(term, row + (lane & 7) + 8 * down, column + 8 * right));
  }
};

template <class L>
PIVOT_DEVICE Terms matrix_terms(const float* m, int padded_dim) {
  const int stride = padded_dim + kTermPadding;
  return {reinterpret_cast<uint16_t*>(const_cast<float*>(m)), stride, L::R * stride};
}

/// Left operand: terms of a fragment.
template <int kCount>
struct SplitFragment {
  uint32_t term[kCount][4];

  PIVOT_DEVICE void set(int slot, Pair x) {
    uint32_t t[kTerms];
    split_bf16(x, t);
    PIVOT_UNROLL
    for (int i = 0; i < kCount; ++i) term[i][slot] = t[i];
  }
};

/// s_ij += x_i . M_j for the rows of one block. Lane q of the four that share a row takes the columns 4q ..
/// 4q + 3 of 16, which stand together in memory: the order of a contraction does not matter.
template <class L, bool kBf16>
PIVOT_DEVICE void add_token_products(const Cta<L>& cta, const RowSource& x, int block, const Terms& m,
                                     Unit<L>& s) {
  constexpr int kSteps = kProductColumns / kMmaDepth, kTiles = L::R / 8;
  const int g = cta.lane >> 2, q = cta.lane & 3, dim = cta.stride - kRowPadding;
  const int row[2] = {cta.row(block, 0), cta.row(block, 1)};
  PIVOT_ROLLED
  for (int first = 0; first < dim; first += kProductColumns) {
    RawQuad raw[kSteps][2];
    PIVOT_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      PIVOT_UNROLL
      for (int i = 0; i < 2; ++i) raw[k][i] = x.template quad<kBf16>(row[i], first + k * kMmaDepth + 4 * q);
    }
    PIVOT_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      SplitFragment<kBf16 ? 1 : kTerms> a;
      PIVOT_UNROLL
      for (int slot = 0; slot < 4; ++slot) {
        if constexpr (kBf16) {
          a.term[0][slot] = raw[k][slot & 1].word[slot >> 1];
        } else {
          a.set(slot, raw[k][slot & 1].template pair<false>(slot >> 1));
        }
      }
      PIVOT_UNROLL
      for (int term = 0; term < kTerms; ++term) {
        PackedQuad b[kTiles];
        PIVOT_UNROLL
        for (int t = 0; t < kTiles; ++t)
          b[t] = *reinterpret_cast<const PackedQuad*>(m.at(term, t * 8 + g, first + k * kMmaDepth + 4 * q));
        PIVOT_UNROLL
        for (int other = 0; other < (kBf16 ? 1 : kTerms - term); ++other) {
          PIVOT_UNROLL
          for (int t = 0; t < kTiles; ++t) {
            float acc[4] = {s[0][2 * t], s[0][2 * t + 1], s[1][2 * t], s[1][2 * t + 1]};
            mma_bf16(acc, a.term[other], b[t].low, b[t].high);
            s[0][2 * t] = acc[0];
            s[0][2 * t + 1] = acc[1];
            s[1][2 * t] = acc[2];
            s[1][2 * t + 1] = acc[3];
          }
        }
      }
    }
  }
}

/// The same for R <= 8, where a thread has a row.
template <class L, bool kBf16>
PIVOT_DEVICE void add_row_products(const Cta<L>& cta, const RowSource& x, int block, const float* m,
                                   Unit<L>& s) {
  constexpr int kQuads = kProductColumns / 4;
  const int row = cta.row(block, 0), dim = cta.stride - kRowPadding;
  PIVOT_ROLLED
  for (int first = 0; first < dim; first += kProductColumns) {
    RawQuad raw[kQuads];
    PIVOT_UNROLL
    for (int k = 0; k < kQuads; ++k) raw[k] = x.template quad<kBf16>(row, first + 4 * k);
    PIVOT_UNROLL
    for (int k = 0; k < kQuads; ++k) {
      const Pair low = raw[k].template pair<kBf16>(0), high = raw[k].template pair<kBf16>(1);
      PIVOT_UNROLL
      for (int j = 0; j < L::R; ++j) {
        const Quad z = *reinterpret_cast<const Quad*>(m + j * cta.stride + first + 4 * k);
        s[0][j] = fmaf(high.y, z.w, fmaf(high.x, z.z, fmaf(low.y, z.y, fmaf(low.x, z.x, s[0][j]))));
      }
    }
  }
}

/// s_ij = x_i . M_j for the rows of one block; m: a matrix of the CTA.
template <class L>
PIVOT_DEVICE void token_products(const Cta<L>& cta, const RowSource& x, int block, const float* m,
                                 Unit<L>& s) {
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) s[i][c] = 0;
  }
  if constexpr (L::kQuad) {
    const Terms terms = matrix_terms<L>(m, cta.stride - kRowPadding);
    if (x.bf16) {
      add_token_products<L, true>(cta, x, block, terms, s);
    } else {
      add_token_products<L, false>(cta, x, block, terms, s);
    }
  } else if (x.bf16) {
    add_row_products<L, true>(cta, x, block, m, s);
  } else {
    add_row_products<L, false>(cta, x, block, m, s);
  }
}

/// Rows of p M, [.., padded_dim], for the rows of one block: emit(i, column, pair) for columns `column` and
/// the next of unit row i.
template <class L, class Emit>
PIVOT_DEVICE void pivot_products(const Cta<L>& cta, const Unit<L>& p, const float* m, Emit emit) {
  const int dim = cta.stride - kRowPadding;
  if constexpr (L::kQuad) {
    const int q = cta.lane & 3;
    const Terms terms = matrix_terms<L>(m, dim);
    PIVOT_ROLLED
    for (int n = 0; n < dim; n += kProductColumns) {
      constexpr int kTiles = kProductColumns / 8;
      float acc[kTiles][4] = {};
      PIVOT_UNROLL
      for (int k = 0; k < L::R / kMmaDepth; ++k) {
        SplitFragment<kTerms> a;
        a.set(0, {p[0][4 * k], p[0][4 * k + 1]});
        a.set(1, {p[1][4 * k], p[1][4 * k + 1]});
        a.set(2, {p[0][4 * k + 2], p[0][4 * k + 3]});
        a.set(3, {p[1][4 * k + 2], p[1][4 * k + 3]});
        PIVOT_UNROLL
        for (int term = 0; term < kTerms; ++term) {
          uint32_t b[kTiles / 2][4];
          PIVOT_UNROLL
          for (int t = 0; t < kTiles / 2; ++t)
            terms.template block<false>(term, k * kMmaDepth, n + 16 * t, cta.lane, b[t]);
          PIVOT_UNROLL
          for (int other = 0; other < kTerms - term; ++other) {
            PIVOT_UNROLL
            for (int t = 0; t < kTiles; ++t)
              mma_bf16(acc[t], a.term[other], b[t / 2][t % 2 * 2], b[t / 2][t % 2 * 2 + 1]);
          }
        }
      }
      PIVOT_UNROLL
      for (int t = 0; t < kTiles; ++t) {
        emit(0, n + 8 * t + 2 * q, Pair{acc[t][0], acc[t][1]});
        emit(1, n + 8 * t + 2 * q, Pair{acc[t][2], acc[t][3]});
      }
    }
  } else {
    PIVOT_ROLLED
    for (int n = 0; n < dim; n += 4) {
      Quad sum{0, 0, 0, 0};
      PIVOT_UNROLL
      for (int j = 0; j < L::R; ++j) {
        const Quad x = *reinterpret_cast<const Quad*>(m + j * cta.stride + n);
        sum.x = fmaf(p[0][j], x.x, sum.x);
        sum.y = fmaf(p[0][j], x.y, sum.y);
        sum.z = fmaf(p[0][j], x.z, sum.z);
        sum.w = fmaf(p[0][j], x.w, sum.w);
      }
      emit(0, n, Pair{sum.x, sum.y});
      emit(0, n + 2, Pair{sum.z, sum.w});
    }
  }
}

/// Element of a matrix of the CTA.
template <class L>
PIVOT_DEVICE float element_of(const Cta<L>& cta, const float* m, int row, int column) {
  if constexpr (L::kQuad) return matrix_terms<L>(m, cta.stride - kRowPadding).value(row, column);
  return m[row * cta.stride + column];
}

/// Fills m [R][stride] in shared memory from `source` [pivots, head_dim] times `scale`; zeros beyond. The
/// caller synchronises.
template <class L>
PIVOT_DEVICE void load_matrix(const Cta<L>& cta, float* m, const float* source, int pivots, int dim,
                              float scale) {
  const ColumnShare<L> share(cta.stride - kRowPadding);
  const int d = share.column;
  PIVOT_UNROLL_8  // as many loads are under way at once
      for (int j = share.first; j < L::R; j += share.step) m[j * cta.stride + d] =
          j < pivots && d < dim ? source[j * dim + d] * scale : 0.0f;
}

/// Fills a matrix of the CTA in the same way.
template <class L>
PIVOT_DEVICE void load_operand(const Cta<L>& cta, float* m, const float* source, int pivots, int dim,
                               float scale) {
  if constexpr (!L::kQuad) {
    load_matrix(cta, m, source, pivots, dim, scale);
  } else {
    constexpr int kMost = L::R * kMaxHeadDim / (2 * L::kThreads);
    const int padded_dim = cta.stride - kRowPadding, bits = 4 + (padded_dim >> 6);
    const int column = (thread_index() & ((1 << bits) - 1)) * 2, step = L::kThreads >> bits;
    const Terms terms = matrix_terms<L>(m, padded_dim);
    Pair x[kMost];
    PIVOT_UNROLL
    for (int i = 0; i < kMost; ++i) {
      const int j = (thread_index() >> bits) + i * step;
      x[i] = {0, 0};
      if (j < pivots && column < dim) memcpy(&x[i], source + j * dim + column, sizeof x[i]);
    }
    PIVOT_UNROLL
    for (int i = 0; i < kMost; ++i) {
      const int j = (thread_index() >> bits) + i * step;
      if (j < L::R) terms.set(j, column, Pair{x[i].x * scale, x[i].y * scale});
    }
  }
}

}  // namespace lotformer::ops::pivot::cuda
