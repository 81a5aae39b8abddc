// SPDX-License-Identifier: MIT
// A module set up for one measurement.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "lotformer/attention/attention.h"
#include "lotformer/bench/attention_bench.h"

namespace lotformer::bench {

/// Inputs, parameters and module of one (setting, candidate); the same inputs for every candidate of a
/// setting.
class Subject {
 public:
  Subject(const Request& request, const Setting& setting, const Candidate& candidate);
  /// Without recording gradients.
  void forward();
  /// Forward and backward; gradients of q, k, v and the parameters.
  void forward_backward();
  /// Extra bytes that a pass needs at most, beyond inputs and parameters.
  int64_t peak_bytes(bool backward);
  /// Bytes of what the last pass was asked for: the output and the gradients it left.
  int64_t result_bytes() const;
  /// `residual_max` of the module's solver in the last pass; null where it solves nothing to a tolerance.
  Json residual();
  /// attention, mode, options, pivots: what the rows of a report begin with.
  const Json& description() const { return description_; }

 private:
  void clear_gradients();
  c10::Device device_;
  std::shared_ptr<AttentionImpl> module_;
  at::Tensor q_, k_, v_, upstream_, lengths_;
  Json description_;
};

}  // namespace lotformer::bench
