// SPDX-License-Identifier: MIT
// The r x r system of Newton's step and of the implicit gradient: ((1 + kappa) diag(c) - theta G) x = rhs,
// all CTAs of a cluster redundantly.
//
// Scaled by q = sqrt(c) to the diagonal 1 + kappa; theta q q^T lifts the null vector q (at theta = 1) and
// leaves the rest as it is; a jitter keeps float32 positive definite. L D L^T, one CTA barrier a column;
// triangular solves by warp 0, numbers in registers.
#pragma once

#include "exchange.h"

namespace lotformer::ops::pivot::cuda {

constexpr float kTiny = static_cast<float>(rules::Precision<float>::kTiny);
constexpr float kJitter = static_cast<float>(rules::Precision<float>::kJitter);

template <class L>
constexpr int kSlots = (L::R + kWarp - 1) / kWarp;  // columns a lane of warp 0 owns: j = slot * 32 + lane

/// Sum over the columns j < n of value(j), on all lanes of warp 0 (only that warp calls it).
template <class L, class F>
PIVOT_DEVICE float column_sum(const Cta<L>& cta, int n, F value) {
  float x = 0;
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) x += value(j);
  }
  return warp_sum(x);
}
template <class L, class F>
PIVOT_DEVICE float column_max(const Cta<L>& cta, int n, F value) {
  float x = kNoScore;
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) x = fmaxf(x, value(j));
  }
  return warp_max(x);
}
template <class L, class F>
PIVOT_DEVICE void for_columns(const Cta<L>& cta, int n, F f) {
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) f(j);
  }
}

/// L D L^T in place (lower triangle, columns of L still times D). False when a pivot is not positive.
template <class L>
PIVOT_DEVICE bool factorise(const Cta<L>& cta, float* m, int n) {
  constexpr int stride = L::R + 1;
  bool positive = true;
  PIVOT_ROLLED
  for (int k = 0; k < n; ++k) {
    cta_sync();
    const float d = m[k * stride + k];
    positive = positive && d > 0;
    PIVOT_ROLLED
    for (int i = k + 1 + cta.warp; i < n; i += L::kWarps) {
      const float factor = m[i * stride + k] / d;
      for (int j = k + 1 + cta.lane; j <= i; j += kWarp) m[i * stride + j] -= factor * m[j * stride + k];
    }
  }
  return positive;
}

/// v := (L D L^T)^-1 v, v in the slots of warp 0.
template <class L>
PIVOT_DEVICE void substitute(const Cta<L>& cta, const float* m, int n, float (&v)[kSlots<L>]) {
  constexpr int stride = L::R + 1;
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    PIVOT_ROLLED
    for (int k = s * kWarp; k < n && k < (s + 1) * kWarp; ++k) {
      const float y = shuffle_from(v[s], k % kWarp) / m[k * stride + k];
      PIVOT_UNROLL
      for (int o = s; o < kSlots<L>; ++o) {
        const int i = o * kWarp + cta.lane;
        if (i > k && i < n) v[o] -= m[i * stride + k] * y;
      }
    }
  }
  PIVOT_UNROLL
  for (int s = 0; s < kSlots<L>; ++s) {
    const int j = s * kWarp + cta.lane;
    if (j < n) v[s] /= m[j * stride + j];
  }
  PIVOT_UNROLL
  for (int s = kSlots<L> - 1; s >= 0; --s) {
    PIVOT_ROLLED
    for (int k = (n < (s + 1) * kWarp ? n : (s + 1) * kWarp) - 1; k >= s * kWarp; --k) {
      const float x = shuffle_from(v[s], k % kWarp);
      PIVOT_UNROLL
      for (int o = 0; o <= s; ++o) {
        const int i = o * kWarp + cta.lane;
        if (i < k) v[o] -= m[k * stride + i] / m[i * stride + i] * x;
      }
    }
  }
}

/// Solves for shared.x (in: right-hand side, out: solution with mean zero, c . x = 0 where kappa > 0); c in
/// shared.marginal, G [R][R] in global memory. False, and shared.x = 0, when the matrix is not numerically
/// positive definite. All threads of the CTA call it; ends with a barrier.
template <class L>
PIVOT_DEVICE bool solve_system(const Cta<L>& cta, const float* gram, float theta, float kappa, int n) {
  Shared<L>& sm = cta.shared;
  float* m = cta.scratch;
  constexpr int stride = L::R + 1;
  for (int i = cta.warp; i < n; i += L::kWarps) {
    const float qi = sqrtf(fmaxf(sm.marginal[i], kTiny));
    for (int j = cta.lane; j <= i; j += kWarp) {
      const float qj = sqrtf(fmaxf(sm.marginal[j], kTiny));
      m[i * stride + j] =
          theta * (qi * qj - gram[i * L::R + j] / (qi * qj)) + (i == j ? 1 + kappa + kJitter : 0.0f);
    }
  }
  const bool positive = factorise(cta, m, n);
  if (cta.warp == 0) {
    float v[kSlots<L>];
    const float sum = column_sum(cta, n, [&](int j) { return sm.x[j]; });
    PIVOT_UNROLL
    for (int s = 0; s < kSlots<L>; ++s) {
      const int j = s * kWarp + cta.lane;
      v[s] = j < n ? (sm.x[j] - sm.marginal[j] * sum) / sqrtf(fmaxf(sm.marginal[j], kTiny)) : 0.0f;
    }
    substitute(cta, m, n, v);
    PIVOT_UNROLL
    for (int s = 0; s < kSlots<L>; ++s) {
      const int j = s * kWarp + cta.lane;
      if (j < n) v[s] /= sqrtf(fmaxf(sm.marginal[j], kTiny));
    }
    float total = 0;
    PIVOT_UNROLL
    for (int s = 0; s < kSlots<L>; ++s) {  // v is indexed by constants only: registers
      const int j = s * kWarp + cta.lane;
      total += kappa > 0 && j < n ? v[s] * sm.marginal[j] : v[s];
    }
    const float mean = warp_sum(total) / (kappa > 0 ? 1.0f : static_cast<float>(n));
    PIVOT_UNROLL
    for (int s = 0; s < kSlots<L>; ++s) {
      const int j = s * kWarp + cta.lane;
      if (j < n) sm.x[j] = positive ? v[s] - mean : 0.0f;
    }
  }
  cta_sync();
  return positive;
}

}  // namespace lotformer::ops::pivot::cuda
