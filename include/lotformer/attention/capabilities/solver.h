// SPDX-License-Identifier: MIT
// A capability of attention modules: saying what solving a transport problem took.
#pragma once

#include <ATen/core/Tensor.h>

#include "lotformer/attention/diagnostics.h"

namespace lotformer {

/// How the problems of one forward pass ended.
struct SolverCount {
  int64_t problems = 0;
  /// Scalars on the device of the call, undefined without a problem: how many ended above their tolerance,
  /// int64, and the largest residual, float64.
  at::Tensor unconverged, residual;
};

/// A module whose map is the solution of a problem.
class HasSolver {
 public:
  virtual ~HasSolver() = default;
  /// For the training log (train.log_every): what solving took in the latest forward(q, k, ...), and how
  /// sharp its scores were. Empty in modes that have nothing to say. Does not wait for the device.
  virtual DeviceDiagnostics solver_record(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& lengths) = 0;
  /// Of the latest forward pass, for the counts that training and evaluation keep of all passes; no problems
  /// in modes that solve none. Does not wait for the device.
  virtual SolverCount solver_count() const = 0;
};

}  // namespace lotformer
