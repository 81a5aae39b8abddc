// SPDX-License-Identifier: MIT
// Tiles in the log domain, for a fixed number of half-iterations: those must follow a pivot whose mass is far
// below the range of float. Everything base 2; [r][kTile] as in tile.h. Only for core.inl.
#pragma once

#include "sweep.h"

namespace lotformer::ops::pivot::cpu {
namespace {

constexpr double kNoMass = -1e30;  // log2 of nothing, finite

template <class T>
PIVOT_INLINE Vec<T> clamped(Vec<T> x, T bound) {
  if (bound == 0) return x;
  const Vec<T> low = broadcast<T>(-bound), high = broadcast<T>(bound);
  x = low > x ? low : x;
  return high < x ? high : x;
}

template <class T>
PIVOT_INLINE Vec<T> power_from(Vec<T> x) {
  const Vec<T> lowest = broadcast<T>(kLowestExponent<T>);
  return power_of_two<T>(lowest > x ? lowest : x);
}

template <class T>
PIVOT_INLINE IntVec<T> live_lanes(int64_t first, int64_t count) {
  return lane_numbers<T>() < IntVec<T>{} + static_cast<IntOf<T>>(count - first);
}

/// log2 of x in [1, 2^16): 2 atanh((m - 1) / (m + 1)) over the mantissa m.
template <class T>
PIVOT_INLINE Vec<T> log2_of(Vec<T> x) {
  Vec<T> m;
  IntVec<T> exponent;
  split_exponent<T>(x, m, exponent);
  const IntVec<T> upper = m > broadcast<T>(T(1.4142135623730951));
  m = upper ? m * T(0.5) : m;
  exponent -= upper;  // true is -1
  const Vec<T> u = (m - T(1)) / (m + T(1)), square = u * u;
  constexpr int kTerms = sizeof(T) == 4 ? 5 : 11;  // |u| < 0.172
  Vec<T> series = broadcast<T>(T(2.0 * 1.4426950408889634 / (2 * kTerms + 1)));
  for (int k = kTerms - 1; k >= 0; --k) series = series * square + T(2.0 * 1.4426950408889634 / (2 * k + 1));
  return __builtin_convertvector(exponent, Vec<T>) + u * series;
}

/// x[j][t] = log2 p_tj = clamp(scores) + bias_j - log2 sum_l; kNoMass at tokens beyond `count`.
template <class T>
inline void log_softmax_tile(const T* scores, const T* bias, T bound, int64_t r, int64_t count, T* x) {
  for (int64_t v = 0; v < kTile; v += kLanes<T>) {
    Vec<T> largest{};
    for (int64_t j = 0; j < r; ++j) {
      const Vec<T> s = clamped<T>(load(scores + j * kTile + v), bound) + bias[j];
      store(x + j * kTile + v, s);
      if (j == 0) largest = s;
      largest = s > largest ? s : largest;
    }
    Vec<T> sum{};
    for (int64_t j = 0; j < r; ++j) sum += power_from<T>(load(x + j * kTile + v) - largest);
    const Vec<T> normaliser = largest + log2_of<T>(sum), none = broadcast<T>(T(kNoMass));
    const IntVec<T> live = live_lanes<T>(v, count);
    for (int64_t j = 0; j < r; ++j) {
      T* to = x + j * kTile + v;
      const Vec<T> own = load(to) - normaliser;
      store(to, live ? own : none);
    }
  }
}

/// to[j][t] = 2^(x[j][t] + shift_j), 0 at tokens beyond `count`.
template <class T>
inline void power_tile(const T* x, const T* shift, T bound, int64_t r, int64_t count, T* to) {
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      const Vec<T> e = power_from<T>(clamped<T>(load(x + j * kTile + v), bound) + shift[j]), none{};
      store(to + j * kTile + v, live_lanes<T>(v, count) ? e : none);
    }
  }
}

/// Running log-sum-exp over tokens, a maximum and a sum for every pivot and lane: `maxima`, `sums`
/// [r][lanes].
template <class T>
inline void add_to_columns(const T* x, T bound, int64_t r, int64_t count, T* maxima, T* sums) {
  const Vec<T> none = broadcast<T>(T(kNoMass));
  for (int64_t j = 0; j < r; ++j) {
    const Vec<T> before = load(maxima + j * kLanes<T>);
    Vec<T> largest = before;
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      const Vec<T> s = live_lanes<T>(v, count) ? clamped<T>(load(x + j * kTile + v), bound) : none;
      largest = s > largest ? s : largest;
    }
    Vec<T> sum = load(sums + j * kLanes<T>) * power_from<T>(before - largest);
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      const Vec<T> s = live_lanes<T>(v, count) ? clamped<T>(load(x + j * kTile + v), bound) : none;
      sum += power_from<T>(s - largest);
    }
    store(maxima + j * kLanes<T>, largest);
    store(sums + j * kLanes<T>, sum);
  }
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
