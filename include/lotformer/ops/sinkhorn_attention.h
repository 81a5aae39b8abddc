// SPDX-License-Identifier: MIT
// Attention by entropic transport between queries and keys (Sander, Ablin, Blondel, Peyre: Sinkformers,
// AISTATS 2022): the map n exp((S + f_i + g_j) / epsilon) with S = q k^T / sqrt(D) and marginals 1/n, in O(N
// D + T N) memory. Formulas and memory plan: docs/sinkformer.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// What is differentiated.
enum class SinkhornGradient {
  /// All half-iterations, exactly.
  unrolled,
  /// The converged map; needs `until_converged`
  implicit,
  /// Column potentials are constants: what the published text experiments train with, not the derivative.
  detached,
};

/// How problems are put together; `automatic` suits the device. For tests.
enum class SinkhornBatching { automatic, by_sequence, whole_batch };

struct SinkhornOptions {
  /// In the unit of the scores.
  double epsilon = 1;
  /// False: exactly `half_iterations`; true: the three fields after it.
  bool until_converged = false;
  /// T, rows first: odd T ends with exact row sums, even T with exact column sums.
  int64_t half_iterations = 3;
  /// Mean |column sum - 1| at which a problem stops, rows being exact.
  double tolerance = 1e-4;
  /// At least 3.
  int64_t max_half_iterations = 200;
  SinkhornGradient gradient = SinkhornGradient::unrolled;
  /// Padded queries are ordinary rows; padded keys never take part.
  bool padded_queries = false;
  SinkhornBatching batching = SinkhornBatching::automatic;
};

/// What the solver did in one call with `until_converged`.
struct SinkhornStats {
  int64_t problems = 0;
  /// Sum over the problems.
  int64_t half_iterations = 0;
  /// Most half-iterations of any problem.
  int64_t longest = 0;
  /// Problems that ended above the tolerance.
  int64_t capped = 0;
  /// Largest mean |column sum - 1| seen at the last check; NaN when a problem had NaN scores.
  double residual = 0;

  double mean_half_iterations() const {
    return problems ? static_cast<double>(half_iterations) / static_cast<double>(problems) : 0;
  }
};

/// q, k, v [B, H, N, D], float32 or float64, any device; lengths int64 [B] or undefined (every token is
/// real). Returns [B, H, N, D] in the dtype of q. Padded rows are zero unless `padded_queries`; a sequence
/// without a real token gives zeros (with `padded_queries`: the mean of its values). Every problem stops on
/// its own residual, so no result depends on what else is in the batch. One forward sweep over the N x N
/// entries a half-iteration; backward: about T / 2 + 1 sweeps (unrolled), 2 + conjugate gradient steps
/// (implicit), 1 (detached). Once differentiable.
at::Tensor sinkhorn_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& lengths, const SinkhornOptions& options,
                              SinkhornStats* stats = nullptr);

}  // namespace lotformer::ops
