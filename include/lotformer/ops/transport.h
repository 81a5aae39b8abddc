// SPDX-License-Identifier: MIT
// Entropic optimal transport with a small side: n points, r points, r small, any cost matrix. The solver of
// the attention (docs/lotformer.md) by itself: min over couplings P of (a, b) of <C, P> + epsilon KL(P || a
// b^T). The potentials of the n points are eliminated, so that a pass costs O(n r^2) and Newton's method on r
// unknowns takes the place of hundreds of Sinkhorn iterations.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// P problems of one shape. float32 or float64, any device.
struct TransportProblem {
  /// C [P, n, r], or [n, r] for one problem, in the unit of epsilon; finite.
  at::Tensor cost;
  /// a [P, n] or [n], >= 0 with sum 1; undefined: 1 / n.
  at::Tensor source = {};
  /// b [P, r] or [r], > 0 with sum 1; undefined: 1 / r.
  at::Tensor target = {};
  double epsilon = 0.1;
};

/// How the plan is differentiated with respect to cost, source and target.
enum class TransportGradient {
  /// The solution as a function of the problem: one r x r system a problem, whatever the solver did (Luise et
  /// al. 2018). Nothing is kept of the way to it. Once differentiable.
  implicit,
  /// Sinkhorn iterations, differentiated one by one: memory of all of them.
  unrolled,
};

struct TransportOptions {
  /// |column sums - b|_1 at which a problem stops; implicit. Rows hold by construction.
  double tolerance = 1e-9;
  /// Evaluations of a plan that a problem may use, the first included; at least 1; implicit.
  int64_t max_passes = 200;
  /// Pairs of half-iterations, columns first; unrolled.
  int64_t iterations = 100;
  TransportGradient gradient = TransportGradient::implicit;
};

/// Shapes without P where the cost came without. With P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon).
struct TransportSolution {
  /// [P, n, r], differentiable. Row sums are a to rounding.
  at::Tensor plan;
  /// f [P, n] and g [P, r], in the unit of the cost, up to a constant between them; no gradient.
  at::Tensor source_potential, target_potential;
  /// |row sums - a|_1 and |column sums - b|_1 of the plan, [P]; no gradient.
  at::Tensor source_error, target_error;
  /// bool [P]: target_error <= tolerance. False for a problem with numbers that are not finite.
  at::Tensor converged;
  /// int64 [P]: evaluations of a plan that were used.
  at::Tensor passes;
};

/// Error(usage) where shapes, types or options do not fit, with the reason. A problem that runs out of passes
/// ends at the point of the smallest error that it has seen; `converged` says so.
TransportSolution solve_transport(const TransportProblem& problem, const TransportOptions& options = {});

}  // namespace lotformer::ops
