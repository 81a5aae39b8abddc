// SPDX-License-Identifier: MIT
// What the softmax of a tile adds up on its way: normalisers for the dual, masses of the pivots, weighted
// scores. Only for core.inl.
#pragma once

#include "vector.h"

namespace lotformer::ops::pivot::cpu {
namespace {

constexpr int64_t kTile = 64;  // tokens

/// Sum over tokens of log2 of the normalisers 2^maximum * sum.
template <class T>
struct NormaliserSum {
  typename Lanes<T>::Wide maxima;
  Vec<T> mantissa;
  IntVec<T> exponents;

  PIVOT_INLINE void clear() {
    maxima = typename Lanes<T>::Wide{};
    mantissa = broadcast<T>(1);
    exponents = IntVec<T>{};
  }
  PIVOT_INLINE void renormalise() {
    IntVec<T> exponent;
    split_exponent<T>(mantissa, mantissa, exponent);
    exponents += exponent;
  }
  /// Lanes without a token: maximum 0, sum 1.
  PIVOT_INLINE void add(Vec<T> maximum, Vec<T> sum) {
    maxima += __builtin_convertvector(maximum, typename Lanes<T>::Wide);
    IntVec<T> exponent;
    Vec<T> factor;
    split_exponent<T>(sum, factor, exponent);
    mantissa *= factor;
    exponents += exponent;
  }
  inline double total() const {
    double sum = 0;
    for (int64_t i = 0; i < kLanes<T>; ++i)
      sum += maxima[i] + static_cast<double>(exponents[i]) + __builtin_log2(static_cast<double>(mantissa[i]));
    return sum;
  }
};

/// The same of tokens with masses: sum_i a_i log2(2^maximum * sum), in double.
template <class T>
struct WeightedNormaliserSum {
  using Wide = typename Lanes<T>::Wide;
  Wide sum;

  PIVOT_INLINE void clear() { sum = Wide{}; }
  PIVOT_INLINE void add(Vec<T> maximum, Vec<T> total, Vec<T> mass) {
    const Wide value =
        __builtin_convertvector(maximum, Wide) + __builtin_convertvector(logarithm_of_two<T>(total), Wide);
    sum += __builtin_convertvector(mass, Wide) * value;
  }
  inline double total() const {
    double all = 0;
    for (int64_t i = 0; i < kLanes<T>; ++i) all += sum[i];
    return all;
  }
};

/// What softmax_tile adds up on the way: nothing;
template <class T>
struct NoSums {
  PIVOT_INLINE void normaliser(int64_t, Vec<T>, Vec<T>) const {}
  PIVOT_INLINE void tile_done() const {}
  PIVOT_INLINE Vec<T> weigh(int64_t, int64_t, Vec<T> p) const { return p; }
  PIVOT_INLINE void pivot_done(int64_t, Vec<T>) const {}
};

/// normalisers, and lanes[j][lane] += p;
template <class T>
struct PlainSums {
  T* lanes;
  NormaliserSum<T>* normalisers;

  PIVOT_INLINE void normaliser(int64_t, Vec<T> largest, Vec<T> sum) const { normalisers->add(largest, sum); }
  PIVOT_INLINE void tile_done() const { normalisers->renormalise(); }
  PIVOT_INLINE Vec<T> weigh(int64_t, int64_t, Vec<T> p) const { return p; }
  PIVOT_INLINE void pivot_done(int64_t j, Vec<T> sum) const {
    store(lanes + j * kLanes<T>, load(lanes + j * kLanes<T>) + sum);
  }
};

/// or, with masses a [kTile] (zero beyond the last token), normalisers by mass, w = a p, and lanes[j][lane]
/// += w.
template <class T>
struct WeightedSums {
  const T* a;
  T *w, *lanes;
  WeightedNormaliserSum<T>* normalisers;

  PIVOT_INLINE void normaliser(int64_t v, Vec<T> largest, Vec<T> sum) const {
    normalisers->add(largest, sum, load(a + v * kLanes<T>));
  }
  PIVOT_INLINE void tile_done() const {}
  PIVOT_INLINE Vec<T> weigh(int64_t j, int64_t v, Vec<T> p) const {
    const Vec<T> weighted = p * load(a + v * kLanes<T>);
    store(w + j * kTile + v * kLanes<T>, weighted);
    return weighted;
  }
  PIVOT_INLINE void pivot_done(int64_t j, Vec<T> sum) const {
    store(lanes + j * kLanes<T>, load(lanes + j * kLanes<T>) + sum);
  }
};

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
