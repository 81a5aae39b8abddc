// SPDX-License-Identifier: MIT
// Calls of pivot attention in one line.
#pragma once

#include "lotformer/ops/pivot.h"

namespace lotformer::test {

inline ops::PivotCall exact_call(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                                 double epsilon, const ops::PivotSolverOptions& solver,
                                 ops::PivotCore core = ops::PivotCore::aten) {
  ops::PivotCall call{.q = q, .k = k, .v = v, .pivots = pivots, .masses = sigma, .lengths = lengths};
  call.epsilon = epsilon;
  call.solver = solver;
  call.core = core;
  return call;
}

inline ops::PivotCall truncated_call(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, const at::Tensor& log_sigma,
                                     const at::Tensor& lengths, double epsilon, int64_t half_iterations,
                                     ops::PivotCore core = ops::PivotCore::aten) {
  ops::PivotCall call = exact_call(q, k, v, pivots, log_sigma, lengths, epsilon, {}, core);
  call.mode = ops::PivotMode::truncated;
  call.half_iterations = half_iterations;
  return call;
}

inline ops::PivotCall reference_call(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, double epsilon, int64_t half_iterations,
                                     ops::PivotCore core = ops::PivotCore::aten) {
  ops::PivotCall call = truncated_call(q, k, v, pivots, {}, {}, epsilon, half_iterations, core);
  call.mode = ops::PivotMode::reference;
  return call;
}

/// The same call with kappa [2, H] of both sides; undefined: both marginals are held.
inline ops::PivotCall with_kappa(ops::PivotCall call, const at::Tensor& kappa) {
  if (kappa.defined()) call.marginals.query_kappa = kappa[0], call.marginals.key_kappa = kappa[1];
  return call;
}

inline ops::PivotCall with_token_masses(ops::PivotCall call, const ops::TokenMasses& masses) {
  call.marginals.tokens = masses;
  return call;
}

}  // namespace lotformer::test
