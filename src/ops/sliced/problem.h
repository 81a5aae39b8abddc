// SPDX-License-Identifier: MIT
// One (example, head) of sliced attention on the CPU: contiguous arrays over its n real tokens. Formulas:
// docs/espformer.md.
#pragma once

#include <cstdint>
#include <vector>

#include "gauss_kernel.h"

namespace lotformer::ops {

template <class T>
struct SlicedProblem {
  /// n >= 1.
  int64_t tokens;
  /// D, coordinates of x and y.
  int64_t dim;
  /// Columns of v.
  int64_t width;
  /// L.
  int64_t slices;
  double tau;
  /// [n, D].
  const T *x, *y;
  /// [n, width].
  const T* v;
  /// [n, L]; finite.
  const T *x_slices, *y_slices;
};

/// Gradients are added to these arrays.
template <class T>
struct SlicedGradients {
  T *x, *y, *v, *x_slices, *y_slices;
};

/// One side of one slice: its values in ascending order with the Gauss kernel over them.
template <class T>
struct SortedSide {
  /// Token of each rank.
  Scratch<int64_t> order;
  GaussKernel<T> kernel;
  /// 1 / Z of each rank, Z_i = sum_j K_ij >= 1.
  Scratch<T> inverse_mass;

  /// `values` of token i at values[i * stride].
  SortedSide(const T* values, int64_t tokens, int64_t stride, double tau);
};

/// out += sum_l weights[l] U_l^T (V_l v), [n, width]. A slice of weight 0 costs nothing.
template <class T>
void add_slices(const SlicedProblem<T>& problem, const std::vector<double>& weights, T* out);

/// Gradient of the above with the weights held, for d_out [n, width]; returns dL/dweights (0 where the weight
/// is 0).
template <class T>
std::vector<double> add_slices_backward(const SlicedProblem<T>& problem, const std::vector<double>& weights,
                                        const T* d_out, const SlicedGradients<T>& gradients);

/// Tokens x_a that enter the costs, and the factor n / (their number).
struct CostRows {
  std::vector<int64_t> tokens;
  double factor = 1;
};

/// D_l = factor * sum over a in rows, all b, of |x_a - y_b| (U_l^T V_l)_ab. O(L rows n p) time, O(n p)
/// memory.
template <class T>
std::vector<double> slice_costs(const SlicedProblem<T>& problem, const CostRows& rows);

/// Gradient of sum_l d_costs[l] D_l. A slice whose d_cost is 0 costs nothing.
template <class T>
void slice_costs_backward(const SlicedProblem<T>& problem, const CostRows& rows,
                          const std::vector<double>& d_costs, const SlicedGradients<T>& gradients);

}  // namespace lotformer::ops
