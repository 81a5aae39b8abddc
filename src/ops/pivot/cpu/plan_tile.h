// SPDX-License-Identifier: MIT
// What the gradient of half-iterations does with the plan of one tile [r][64]. Only for core.inl.
#pragma once

#include "log_tile.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// w = plan (w - mu); dot[t] = sum_j of it; lanes[j] += its sum over tokens.
template <class T>
inline void weigh_plan(const T* plan, const T* mu, int64_t r, T* w, T* dot, T* lanes) {
  for (int64_t v = 0; v < kTile; v += kLanes<T>) store(dot + v, Vec<T>{});
  for (int64_t j = 0; j < r; ++j) {
    Vec<T> sum = load(lanes + j * kLanes<T>);
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      const Vec<T> x = load(plan + j * kTile + v) * (load(w + j * kTile + v) - mu[j]);
      store(w + j * kTile + v, x);
      store(dot + v, load(dot + v) + x);
      sum += x;
    }
    store(lanes + j * kLanes<T>, sum);
  }
}

/// x = log p: w += sign p dot, or only its sums over tokens: lanes[j] += sign sum_t p dot.
template <class T>
inline void add_token_terms(const T* x, const T* dot, T sign, int64_t r, T* w, T* lanes) {
  for (int64_t j = 0; j < r; ++j) {
    Vec<T> sum = load(lanes + j * kLanes<T>);
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      const Vec<T> term = sign * power_from<T>(load(x + j * kTile + v)) * load(dot + v);
      if (w) store(w + j * kTile + v, load(w + j * kTile + v) + term);
      sum += term;
    }
    store(lanes + j * kLanes<T>, sum);
  }
}

/// dot[t] = sum_j ratio_j h_j; with w: w -= ratio h.
template <class T>
inline void subtract_columns(const T* ratio, const T* h, int64_t r, T* w, T* dot) {
  for (int64_t v = 0; v < kTile; v += kLanes<T>) {
    Vec<T> sum{};
    for (int64_t j = 0; j < r; ++j) {
      const Vec<T> x = load(ratio + j * kTile + v) * h[j];
      if (w) store(w + j * kTile + v, load(w + j * kTile + v) - x);
      sum += x;
    }
    store(dot + v, sum);
  }
}

/// The clamp passes nothing outside its range.
template <class T>
inline void mask_outside(const T* scores, T bound, int64_t r, T* w) {
  const Vec<T> low = broadcast<T>(-bound), high = broadcast<T>(bound), none{};
  for (int64_t i = 0; i < r * kTile; i += kLanes<T>) {
    const Vec<T> s = load(scores + i), x = load(w + i);
    const Vec<T> below = s < low ? none : x;
    store(w + i, s > high ? none : below);
  }
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
