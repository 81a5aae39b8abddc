// SPDX-License-Identifier: MIT
// Vectors of PIVOT_VECTOR_BYTES, by the compiler's vector extension. Only for core.inl: everything here has
// internal linkage, so that code for one instruction set can never be merged with that for another.
#pragma once

#include <cstdint>
#include <cstring>

#define PIVOT_INLINE inline __attribute__((always_inline))
#define PIVOT_LAMBDA __attribute__((always_inline))

namespace lotformer::ops::pivot::cpu {
namespace {

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vec __attribute__((vector_size(PIVOT_VECTOR_BYTES)));
  using Whole = int32_t;
  typedef int32_t Int __attribute__((vector_size(PIVOT_VECTOR_BYTES)));
  typedef double Wide __attribute__((vector_size(2 * PIVOT_VECTOR_BYTES)));
  static constexpr int64_t kCount = PIVOT_VECTOR_BYTES / 4;
};
template <>
struct Lanes<double> {
  typedef double Vec __attribute__((vector_size(PIVOT_VECTOR_BYTES)));
  using Whole = int64_t;
  typedef int64_t Int __attribute__((vector_size(PIVOT_VECTOR_BYTES)));
  typedef double Wide __attribute__((vector_size(PIVOT_VECTOR_BYTES)));
  static constexpr int64_t kCount = PIVOT_VECTOR_BYTES / 8;
};

template <class T>
using Vec = typename Lanes<T>::Vec;
template <class T>
using IntVec = typename Lanes<T>::Int;
template <class T>
using IntOf = typename Lanes<T>::Whole;  // of one lane of IntVec
template <class T>
constexpr int64_t kLanes = Lanes<T>::kCount;

template <class T>
PIVOT_INLINE Vec<T> load(const T* from) {
  Vec<T> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <class T>
PIVOT_INLINE void store(T* to, const Vec<T>& v) {
  std::memcpy(to, &v, sizeof(v));
}
template <class T>
PIVOT_INLINE Vec<T> broadcast(T x) {
  return Vec<T>{} + x;
}
/// 0, 1, 2, ...
template <class T>
PIVOT_INLINE IntVec<T> lane_numbers() {
  IntVec<T> v;
  for (int64_t i = 0; i < kLanes<T>; ++i) v[i] = static_cast<IntOf<T>>(i);
  return v;
}
/// In lane order.
template <class T>
PIVOT_INLINE double sum_of_lanes(const T* lanes) {
  double sum = 0;
  for (int64_t i = 0; i < kLanes<T>; ++i) sum += static_cast<double>(lanes[i]);
  return sum;
}

PIVOT_INLINE int64_t round_up(int64_t x, int64_t step) {
  return (x + step - 1) / step * step;
}

/// Constants of 2^x: x = n + f, n whole, |f| <= 1/2; interpolation of (2^f - 1) / f at Chebyshev nodes.
template <class T>
struct PowerOfTwo;
template <>
struct PowerOfTwo<float> {
  static constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: its sum with x has n in the last bits
  static constexpr int kFraction = 23;
  static constexpr int32_t kBias = 127;
  static constexpr float kSeries[] = {// relative error 5e-9
                                      1.0f,
                                      6.93147188026228767e-01f,
                                      2.40226507605681261e-01f,
                                      5.55035711421907815e-02f,
                                      9.61808255727785236e-03f,
                                      1.33908633646712344e-03f,
                                      1.54531629451206911e-04f};
};
template <>
struct PowerOfTwo<double> {
  static constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kFraction = 52;
  static constexpr int64_t kBias = 1023;
  static constexpr double kSeries[] = {// relative error 8e-18
                                       1.0,
                                       6.93147180559945286e-01,
                                       2.40226506959100972e-01,
                                       5.55041086648215970e-02,
                                       9.61812910760688825e-03,
                                       1.33335581464169356e-03,
                                       1.54035304417360499e-04,
                                       1.52527338298361192e-05,
                                       1.32154425879216893e-06,
                                       1.01780624458457737e-07,
                                       7.07258594926922339e-09,
                                       4.45496059818651856e-10};
};

/// 2^x for normal results; NaN stays NaN.
template <class T>
PIVOT_INLINE Vec<T> power_of_two(Vec<T> x) {
  using P = PowerOfTwo<T>;
  constexpr int kTerms = sizeof(P::kSeries) / sizeof(T);
  const Vec<T> shifted = x + P::kShift;
  const Vec<T> f = x - (shifted - P::kShift);
  Vec<T> series = broadcast<T>(P::kSeries[kTerms - 1]);
  for (int k = kTerms - 2; k >= 0; --k) series = series * f + P::kSeries[k];
  return (Vec<T>)((IntVec<T>)series + ((IntVec<T>)shifted << P::kFraction));
}

/// x >= 1 as mantissa * 2^exponent with the mantissa in [1, 2).
template <class T>
PIVOT_INLINE void split_exponent(Vec<T> x, Vec<T>& mantissa, IntVec<T>& exponent) {
  using P = PowerOfTwo<T>;
  const IntVec<T> bits = (IntVec<T>)x;
  const IntVec<T> one = (IntVec<T>)broadcast<T>(1);
  exponent = (bits >> P::kFraction) - P::kBias;
  mantissa = (Vec<T>)((bits & ((one & 0) + ((decltype(P::kBias){1} << P::kFraction) - 1))) | one);
}

/// log2(x) for x >= 1, rounded to about the last bit: log2 m = (2 / ln 2) artanh(s), s = (m - 1) / (m + 1), m
/// in [sqrt(1/2), sqrt(2)).
template <class T>
PIVOT_INLINE Vec<T> logarithm_of_two(Vec<T> x) {
  constexpr int kTerms = sizeof(T) == 4 ? 5 : 10;  // the first left out is below 2e-9, 2e-17
  Vec<T> m;
  IntVec<T> exponent;
  split_exponent<T>(x, m, exponent);
  const IntVec<T> high = m > broadcast<T>(T(1.41421356237309505));  // -1 where true
  m = high ? m * T(0.5) : m;
  const Vec<T> s = (m - T(1)) / (m + T(1)), square = s * s;
  Vec<T> series = broadcast<T>(T(1) / T(2 * kTerms - 1));
  for (int k = kTerms - 2; k >= 0; --k) series = series * square + T(1) / T(2 * k + 1);
  return __builtin_convertvector(exponent - high, Vec<T>) + s * series * T(2.88539008177792681);
}

template <class T, int kWidth, int... kLane>
PIVOT_INLINE void swap_blocks(Vec<T>& a, Vec<T>& b) {
  constexpr int n = kLanes<T>;
  const Vec<T> x = a, y = b;
  a = __builtin_shufflevector(x, y, ((kLane & kWidth) ? n + kLane - kWidth : kLane)...);
  b = __builtin_shufflevector(x, y, ((kLane & kWidth) ? n + kLane : kLane + kWidth)...);
}

template <class T, int kWidth, int... kLane>
PIVOT_INLINE void transpose_step(Vec<T>* rows) {
  for (int i = 0; i < kLanes<T>; ++i) {
    if (!(i & kWidth)) swap_blocks<T, kWidth, kLane...>(rows[i], rows[i + kWidth]);
  }
}

template <class T, int... kLane>
PIVOT_INLINE void transpose_lanes(Vec<T>* rows) {
  constexpr int n = sizeof...(kLane);
  if constexpr (n > 8) transpose_step<T, 8, kLane...>(rows);
  if constexpr (n > 4) transpose_step<T, 4, kLane...>(rows);
  if constexpr (n > 2) transpose_step<T, 2, kLane...>(rows);
  transpose_step<T, 1, kLane...>(rows);
}

/// A square of lanes x lanes: rows `from` apart become columns, rows `to` apart.
template <class T>
PIVOT_INLINE void transpose_square(const T* from, int64_t from_row, T* to, int64_t to_row) {
  Vec<T> rows[kLanes<T>];
  for (int64_t i = 0; i < kLanes<T>; ++i) rows[i] = load(from + i * from_row);
  if constexpr (kLanes<T> == 16)
    transpose_lanes<T, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(rows);
  else if constexpr (kLanes<T> == 8)
    transpose_lanes<T, 0, 1, 2, 3, 4, 5, 6, 7>(rows);
  else if constexpr (kLanes<T> == 4)
    transpose_lanes<T, 0, 1, 2, 3>(rows);
  else
    transpose_lanes<T, 0, 1>(rows);
  for (int64_t i = 0; i < kLanes<T>; ++i) store(to + i * to_row, rows[i]);
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
