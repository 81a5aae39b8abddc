// SPDX-License-Identifier: MIT
// Products of token rows with a small matrix M [R][stride] in shared memory, float32-accurate on bf16 tensor
// cores.
//
// A float32 number is the sum of three bf16 numbers to 24 bits. Of the nine products of two such sums the six
// with i + j < 3 are kept (the rest is below 2^-24); three when the left operand is a bf16 number to begin
// with.
#pragma once

#include "exchange.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kMmaDepth = 16;        // contraction of one matrix instruction
constexpr int kProductColumns = 32;  // columns of a row product that are in registers at a time

PIVOT_DEVICE void split_bf16(Pair x, uint32_t (&term)[3]) {
  PIVOT_UNROLL
  for (int i = 0; i < 3; ++i) {
    term[i] = pack_bf16(x.x, x.y);
    const Pair taken = unpack_bf16(term[i]);
    x.x -= taken.x;
    x.y -= taken.y;
  }
}

/// Left operand: three terms of a fragment.
struct SplitFragment {
  uint32_t term[3][4];

  PIVOT_DEVICE void set(int slot, Pair x) {
    uint32_t t[3];
    split_bf16(x, t);
    PIVOT_UNROLL
    for (int i = 0; i < 3; ++i) term[i][slot] = t[i];
  }
};

PIVOT_DEVICE void mma_split(float (&c)[4], const SplitFragment& a, bool a_is_bf16, Pair b_low, Pair b_high) {
  uint32_t b0[3], b1[3];
  split_bf16(b_low, b0);
  split_bf16(b_high, b1);
  mma_bf16(c, a.term[0], b0[0], b1[0]);
  mma_bf16(c, a.term[0], b0[1], b1[1]);
  mma_bf16(c, a.term[0], b0[2], b1[2]);
  if (a_is_bf16) return;
  mma_bf16(c, a.term[1], b0[0], b1[0]);
  mma_bf16(c, a.term[1], b0[1], b1[1]);
  mma_bf16(c, a.term[2], b0[0], b1[0]);
}

/// s_ij = x_i . M_j for the rows of one block.
template <class L>
PIVOT_DEVICE void token_products(const Cta<L>& cta, const RowSource& x, int block, const float* m,
                                 Unit<L>& s) {
  const int dim = cta.stride - kRowPadding;
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) s[i][c] = 0;
  }
  if constexpr (L::kQuad) {
    const int g = cta.lane >> 2, q = cta.lane & 3;
    const int top = cta.row(block, 0), bottom = cta.row(block, 1);
    PIVOT_ROLLED
    for (int k = 0; k < dim; k += kMmaDepth) {
      SplitFragment a;
      a.set(0, x.pair(top, k + 2 * q));
      a.set(1, x.pair(bottom, k + 2 * q));
      a.set(2, x.pair(top, k + 2 * q + 8));
      a.set(3, x.pair(bottom, k + 2 * q + 8));
      PIVOT_UNROLL
      for (int t = 0; t < L::R / 8; ++t) {
        const float* b = m + (t * 8 + g) * cta.stride + k + 2 * q;
        float acc[4] = {s[0][2 * t], s[0][2 * t + 1], s[1][2 * t], s[1][2 * t + 1]};
        mma_split(acc, a, x.bf16 != 0, {b[0], b[1]}, {b[8], b[9]});
        s[0][2 * t] = acc[0];
        s[0][2 * t + 1] = acc[1];
        s[1][2 * t] = acc[2];
        s[1][2 * t + 1] = acc[3];
      }
    }
  } else {
    const int row = cta.row(block, 0);
    PIVOT_ROLLED
    for (int k = 0; k < dim; k += 2) {
      const Pair v = x.pair(row, k);
      PIVOT_UNROLL
      for (int j = 0; j < L::R; ++j)
        s[0][j] = fmaf(v.y, m[j * cta.stride + k + 1], fmaf(v.x, m[j * cta.stride + k], s[0][j]));
    }
  }
}

/// Rows of p M, [.., padded_dim], for the rows of one block: emit(i, column, pair) for columns `column` and
/// the next of unit row i.
template <class L, class Emit>
PIVOT_DEVICE void pivot_products(const Cta<L>& cta, const Unit<L>& p, const float* m, Emit emit) {
  const int dim = cta.stride - kRowPadding;
  if constexpr (L::kQuad) {
    const int g = cta.lane >> 2, q = cta.lane & 3;
    PIVOT_ROLLED
    for (int n = 0; n < dim; n += kProductColumns) {
      float acc[kProductColumns / 8][4] = {};
      PIVOT_UNROLL
      for (int k = 0; k < L::R / kMmaDepth; ++k) {
        SplitFragment a;
        a.set(0, {p[0][4 * k], p[0][4 * k + 1]});
        a.set(1, {p[1][4 * k], p[1][4 * k + 1]});
        a.set(2, {p[0][4 * k + 2], p[0][4 * k + 3]});
        a.set(3, {p[1][4 * k + 2], p[1][4 * k + 3]});
        PIVOT_UNROLL
        for (int t = 0; t < kProductColumns / 8; ++t) {
          const float* b = m + (k * kMmaDepth + 2 * q) * cta.stride + n + 8 * t + g;
          mma_split(acc[t], a, false, {b[0], b[cta.stride]}, {b[8 * cta.stride], b[9 * cta.stride]});
        }
      }
      PIVOT_UNROLL
      for (int t = 0; t < kProductColumns / 8; ++t) {
        emit(0, n + 8 * t + 2 * q, Pair{acc[t][0], acc[t][1]});
        emit(1, n + 8 * t + 2 * q, Pair{acc[t][2], acc[t][3]});
      }
    }
  } else {
    PIVOT_ROLLED
    for (int n = 0; n < dim; n += 2) {
      Pair sum{0, 0};
      PIVOT_UNROLL
      for (int j = 0; j < L::R; ++j) {
        sum.x = fmaf(p[0][j], m[j * cta.stride + n], sum.x);
        sum.y = fmaf(p[0][j], m[j * cta.stride + n + 1], sum.y);
      }
      emit(0, n, sum);
    }
  }
}

/// Fills a matrix in shared memory from `source` [pivots, head_dim] times `scale`; zeros beyond. The caller
/// synchronises.
template <class L>
PIVOT_DEVICE void load_matrix(const Cta<L>& cta, float* m, const float* source, int pivots, int dim,
                              float scale) {
  const ColumnShare<L> share(cta.stride - kRowPadding);
  const int d = share.column;
  PIVOT_UNROLL_8  // as many loads are under way at once
      for (int j = share.first; j < L::R; j += share.step) m[j * cta.stride + d] =
          j < pivots && d < dim ? source[j * dim + d] * scale : 0.0f;
}

}  // namespace lotformer::ops::pivot::cuda
