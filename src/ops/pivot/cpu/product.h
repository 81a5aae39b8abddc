// SPDX-License-Identifier: MIT
// Small matrix products in registers: C[m][n] = sum_k A[m][k] B[k][n], n across lanes, A broadcast. Only for
// core.inl.
#pragma once

#include "vector.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// A[m][k] at data[m * row + k * inner].
template <class T>
struct Left {
  const T* data;
  int64_t row, inner;
};
/// B[k][n] at data[k * row + n].
template <class T>
struct Right {
  const T* data;
  int64_t row;
};

constexpr int kWideBlock =
    PIVOT_VECTOR_BYTES == 64 ? 4 : 2;  // vectors; times 4 rows of sums fill half the registers

template <class T, int kRows, int kVectors, class Finish>
PIVOT_INLINE void product_block(Left<T> a, Right<T> b, int64_t inner, int64_t m, int64_t n,
                                const Finish& finish) {
  Vec<T> sum[kRows][kVectors] = {};
  const T* left = a.data + m * a.row;
  const T* right = b.data + n;
  for (int64_t k = 0; k < inner; ++k, left += a.inner, right += b.row) {
    Vec<T> values[kVectors];
    for (int v = 0; v < kVectors; ++v) values[v] = load(right + v * kLanes<T>);
    for (int i = 0; i < kRows; ++i) {
      const Vec<T> factor = broadcast<T>(left[i * a.row]);
      for (int v = 0; v < kVectors; ++v) sum[i][v] += factor * values[v];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) finish(m + i, n + v * kLanes<T>, sum[i][v]);
  }
}

template <class T, int kRows, int kVectors, class Finish>
PIVOT_INLINE void product_rows(Left<T> a, Right<T> b, int64_t rows, int64_t inner, int64_t n,
                               const Finish& finish) {
  int64_t m = 0;
  for (; m + kRows <= rows; m += kRows) product_block<T, kRows, kVectors>(a, b, inner, m, n, finish);
  if constexpr (kRows > 4) {
    if (m + 4 <= rows) {
      product_block<T, 4, kVectors>(a, b, inner, m, n, finish);
      m += 4;
    }
  }
  if (m + 2 <= rows) {
    product_block<T, 2, kVectors>(a, b, inner, m, n, finish);
    m += 2;
  }
  if (m < rows) product_block<T, 1, kVectors>(a, b, inner, m, n, finish);
}

/// finish(m, n, sum) for every m < rows and every n of whole vectors in [first, columns).
template <class T, class Finish>
PIVOT_INLINE void product(Left<T> a, Right<T> b, int64_t rows, int64_t first, int64_t columns, int64_t inner,
                          const Finish& finish) {
  int64_t n = first;
  for (; n + kWideBlock * kLanes<T> <= columns; n += kWideBlock * kLanes<T>)
    product_rows<T, 4, kWideBlock>(a, b, rows, inner, n, finish);
  if constexpr (kWideBlock == 4) {
    if (n + 2 * kLanes<T> <= columns) {
      product_rows<T, 8, 2>(a, b, rows, inner, n, finish);
      n += 2 * kLanes<T>;
    }
  }
  if (n < columns) product_rows<T, 8, 1>(a, b, rows, inner, n, finish);
}

/// C += A B.
template <class T>
inline void add_product(Left<T> a, Right<T> b, int64_t rows, int64_t columns, int64_t inner, T* c,
                        int64_t c_row) {
  product(a, b, rows, 0, columns, inner, [=](int64_t m, int64_t n, const Vec<T>& sum) PIVOT_LAMBDA {
    T* to = c + m * c_row + n;
    store(to, load(to) + sum);
  });
}

/// C = scale A B.
template <class T>
inline void set_product(Left<T> a, Right<T> b, int64_t rows, int64_t columns, int64_t inner, T scale, T* c,
                        int64_t c_row) {
  product(a, b, rows, 0, columns, inner, [=](int64_t m, int64_t n, const Vec<T>& sum) PIVOT_LAMBDA {
    store(c + m * c_row + n, scale * sum);
  });
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
