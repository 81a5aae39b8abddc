// SPDX-License-Identifier: MIT
// What happens between the two sides, on r pivots: rounding, summary values, and their gradients. Only for
// core.inl.
#pragma once

#include "solver.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// R_lj = s_l [l = j] + (1 - s_l) f_j of ops::rounding_matrix, never formed.
struct Rounding {
  double *kept, *share;  // s, f / F  [r]
  int64_t r;

  /// relaxed: the identity.
  template <class T>
  void set(const T* marginal, const T* sigma, bool relaxed) {
    double total = 0;
    for (int64_t j = 0; j < r; ++j) {
      const double c = static_cast<double>(marginal[j]), mass = static_cast<double>(sigma[j]);
      kept[j] = relaxed ? 1 : smaller(1, mass / larger(c, Precision<T>::kTiny));
      share[j] = relaxed ? 0 : larger(mass - c, 0);
      total += share[j];
    }
    for (int64_t j = 0; j < r; ++j)
      share[j] = total > 0 ? share[j] / larger(total, Precision<T>::kTiny)
                 : relaxed ? 0
                           : static_cast<double>(sigma[j]);
  }
  /// y = R x, rows of `columns`.
  template <class T>
  void apply(const T* x, int64_t columns, T* y) const {
    for (int64_t c = 0; c < columns; ++c) {
      double mixed = 0;
      for (int64_t j = 0; j < r; ++j) mixed += share[j] * static_cast<double>(x[j * columns + c]);
      for (int64_t j = 0; j < r; ++j)
        y[j * columns + c] =
            static_cast<T>(kept[j] * static_cast<double>(x[j * columns + c]) + (1 - kept[j]) * mixed);
    }
  }
  /// y = R^T x; x and y may be the same.
  template <class T>
  void apply_transposed(const T* x, int64_t columns, T* y) const {
    for (int64_t c = 0; c < columns; ++c) {
      double moved = 0;
      for (int64_t j = 0; j < r; ++j) moved += (1 - kept[j]) * static_cast<double>(x[j * columns + c]);
      for (int64_t j = 0; j < r; ++j)
        y[j * columns + c] =
            static_cast<T>(kept[j] * static_cast<double>(x[j * columns + c]) + share[j] * moved);
    }
  }
};

/// mass_j = (R^T c)_j, never 0.
template <class T>
inline void rounded_mass(const Rounding& rounding, const T* marginal, double* mass) {
  double moved = 0;
  for (int64_t j = 0; j < rounding.r; ++j) moved += (1 - rounding.kept[j]) * static_cast<double>(marginal[j]);
  for (int64_t j = 0; j < rounding.r; ++j) {
    const double m = rounding.kept[j] * static_cast<double>(marginal[j]) + rounding.share[j] * moved;
    mass[j] = Precision<T>::kLeastMass > m ? Precision<T>::kLeastMass : m;  // NaN stays
  }
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
