// SPDX-License-Identifier: MIT
// One attention call of the GPU check: inputs, the call with its gradients, and the same in float64 by plain
// ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lotformer/ops/pivot.h"

namespace lotformer::gpu {

using Mode = ops::PivotMode;
std::string name_of(Mode mode);

struct Shape {
  int64_t batch, heads, tokens, pivots, head_dim;
};

struct Call {
  Mode mode = Mode::exact;
  double epsilon = 0.1;
  int64_t half_iterations = 50;
  ops::PivotSolverOptions options;
  at::Tensor q, k, v, pivots, masses, lengths, d_out;  // masses: log masses but in mode exact
  at::Tensor kappa;                                    // [2, H] of queries and keys, or undefined: held
};

/// Random, never zeros: scores with a standard deviation of one epsilon, q, k, v as views of one packed
/// projection. Ragged: a length for every sequence, the first one whole.
Call random_call(const Shape& shape, Mode mode, at::ScalarType tokens_type, uint64_t seed, bool ragged);

/// What makes a problem of mode exact hard, beside its shape.
enum class Hardship {
  none,
  /// Scores with a standard deviation of 30 epsilon: the scaling form gives up, and problems are solved again
  /// in the log domain.
  sharp,
  /// One side penalised, the other free.
  relaxed,
  /// A sequence without a token.
  empty,
  /// A pivot that almost no token wants.
  starving
};
const char* name_of(Hardship hardship);
Call hard_call(const Shape& shape, at::ScalarType tokens_type, uint64_t seed, Hardship hardship);
Call moved(const Call& call, c10::Device device);

enum class Path { core, aten };
ops::PivotCall pivot_call(const Call& call, Path path);
/// Tensors as they are; differentiable.
at::Tensor attention(const Call& call, Path path);

struct Results {
  std::vector<at::Tensor> tensors;  // in the order of the names; the last where there is kappa
};
constexpr const char* kResultNames[] = {"out", "d_q", "d_k", "d_v", "d_pivots", "d_masses", "d_kappa"};

Results run(const Call& call, Path path);
/// The same numbers in float64 on the CPU.
Results oracle(const Call& call);

/// Largest |a - b| relative to the largest |b|; a NaN is infinitely far. Gradients of masses are compared up
/// to a constant over the pivots.
double error(const Results& got, const Results& expected, size_t which);
bool same_bits(const Results& a, const Results& b);

}  // namespace lotformer::gpu
