// SPDX-License-Identifier: MIT
// A capability of attention modules: saying what solving a transport problem took.
#pragma once

#include <ATen/core/Tensor.h>

#include "lotformer/attention/diagnostics.h"

namespace lotformer {

/// A module whose map is the solution of a problem.
class HasSolver {
 public:
  virtual ~HasSolver() = default;
  /// For the training log (train.log_every): what solving took in the latest forward(q, k, ...), and how
  /// sharp its scores were. Empty in modes that have nothing to say. May wait for the device.
  virtual Diagnostics solver_record(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) = 0;
};

}  // namespace lotformer
