// SPDX-License-Identifier: MIT
// The linear system of the Newton step and of the implicit gradient, r x r, in double; constants of the token
// types. Only for core.inl.
#pragma once

#include "ops/pivot/newton_rules.h"
#include "vector.h"

namespace lotformer::ops::pivot::cpu {
namespace {

using rules::kLn2;
using rules::kLog2e;

PIVOT_INLINE double larger(double a, double b) {
  return a > b ? a : b;
}
PIVOT_INLINE double smaller(double a, double b) {
  return a < b ? a : b;
}

/// Constants of a floating point type: those of the rules, and the least mass that is divided by.
template <class T>
struct Precision : rules::Precision<T> {
  static constexpr double kLeastMass = sizeof(T) == sizeof(float) ? 1e-37 : 1e-300;
};

/// to[i] -= factor * from[i] for first <= i < last.
PIVOT_INLINE void subtract_row(double* to, const double* from, double factor, int64_t first, int64_t last) {
  int64_t i = first;
  for (; i + kLanes<double> <= last; i += kLanes<double>)
    store(to + i, load(to + i) - factor * load(from + i));
  for (; i < last; ++i) to[i] -= factor * from[i];
}

/// M = U^T U in the upper half of `m` [r][r]; false where M is not positive definite. Two rows of U at a
/// time.
inline bool factorise(double* m, int64_t r) {
  for (int64_t k = 0; k < r; ++k) {
    double* row = m + k * r;
    if (!(row[k] > 0)) return false;  // NaN too
    const double scale = 1 / __builtin_sqrt(row[k]);
    for (int64_t i = k; i < r; ++i) row[i] *= scale;
    for (int64_t i = k + 1; i < r; ++i) subtract_row(m + i * r, row, row[i], i, r);
  }
  return true;
}

/// x of U^T U x = x.
inline void substitute(const double* m, int64_t r, double* x) {
  for (int64_t k = 0; k < r; ++k) {
    x[k] /= m[k * r + k];
    subtract_row(x, m + k * r, x[k], k + 1, r);
  }
  for (int64_t k = r - 1; k >= 0; --k) {
    double sum = x[k];
    for (int64_t i = k + 1; i < r; ++i) sum -= m[k * r + i] * x[i];
    x[k] = sum / m[k * r + k];
  }
}

/// ((1 + kappa) diag(c) - theta G) x = rhs - c sum(rhs); x is determined up to a constant, c . x = 0 up to
/// rounding. Scaled to unit diagonal; theta q q^T, q = sqrt(c), lifts the null vector. `matrix` [r][r] and
/// `root` [r] are scratch. False: not solved.
inline bool solve_system(const double* c, const double* gram, const double* rhs, double theta, double kappa,
                         double jitter, double tiny, int64_t r, double* matrix, double* root, double* x) {
  double total = 0;
  for (int64_t j = 0; j < r; ++j) {
    root[j] = __builtin_sqrt(larger(c[j], tiny));
    total += rhs[j];
  }
  for (int64_t j = 0; j < r; ++j) {
    const double scale = theta / root[j];
    for (int64_t l = j; l < r; ++l)
      matrix[j * r + l] = theta * root[j] * root[l] - scale * gram[j * r + l] / root[l];
    matrix[j * r + j] += 1 + kappa + jitter;
    x[j] = (rhs[j] - c[j] * total) / root[j];
  }
  if (!factorise(matrix, r)) return false;
  substitute(matrix, r, x);
  bool finite = true;
  for (int64_t j = 0; j < r; ++j) {
    x[j] /= root[j];
    finite = finite && __builtin_isfinite(x[j]);
  }
  return finite;
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
