// SPDX-License-Identifier: MIT
// Attention by entropic transport between queries and keys (Sander, Ablin, Blondel, Peyre: Sinkformers, AISTATS 2022): the map
// n exp((S + f_i + g_j) / epsilon) with S = q k^T / sqrt(D) and marginals 1/n, in O(N D + T N) memory. Formulas and
// memory plan: docs/sinkformer.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// What is differentiated.
enum class SinkhornGradient {
  unrolled,  ///< all half-iterations, exactly
  implicit,  ///< the converged map; needs `until_converged`
  detached,  ///< column potentials are constants: what the published text experiments train with, not the derivative
};

/// How problems are put together; `automatic` suits the device. For tests.
enum class SinkhornBatching { automatic, by_sequence, whole_batch };

struct SinkhornOptions {
  double epsilon = 1;            ///< in the unit of the scores
  bool until_converged = false;  ///< false: exactly `half_iterations`; true: the three fields after it
  int64_t half_iterations =
      3;                    ///< T, rows first: odd T ends with exact row sums, even T with exact column sums
  double tolerance = 1e-4;  ///< mean |column sum - 1| at which a problem stops, rows being exact
  int64_t max_half_iterations = 200;  ///< at least 3
  SinkhornGradient gradient = SinkhornGradient::unrolled;
  bool padded_queries = false;  ///< padded queries are ordinary rows; padded keys never take part
  SinkhornBatching batching = SinkhornBatching::automatic;
};

/// What the solver did in one call with `until_converged`.
struct SinkhornStats {
  int64_t problems = 0;
  int64_t half_iterations = 0;  ///< sum over the problems
  int64_t longest = 0;          ///< most half-iterations of any problem
  int64_t capped = 0;           ///< problems that ended above the tolerance
  double residual =
      0;  ///< largest mean |column sum - 1| seen at the last check; NaN when a problem had NaN scores

  double mean_half_iterations() const {
    return problems ? static_cast<double>(half_iterations) / static_cast<double>(problems) : 0;
  }
};

/// q, k, v [B, H, N, D], float32 or float64, any device; lengths int64 [B] or undefined (every token is real). Returns [B, H, N,
/// D] in the dtype of q. Padded rows are zero unless `padded_queries`; a sequence without a real token gives zeros (with
/// `padded_queries`: the mean of its values). Every problem stops on its own residual, so no result depends on what else
/// is in the batch. One forward sweep over the N x N entries a half-iteration; backward: about T / 2 + 1 sweeps
/// (unrolled), 2 + conjugate gradient steps (implicit), 1 (detached). Once differentiable.
at::Tensor sinkhorn_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& lengths, const SinkhornOptions& options,
                              SinkhornStats* stats = nullptr);

}  // namespace lotformer::ops
