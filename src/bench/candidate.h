// SPDX-License-Identifier: MIT
// A module set up for one measurement.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "lotformer/attention/attention.h"
#include "lotformer/bench/attention_bench.h"

namespace lotformer::bench {

/// Inputs, parameters and module of one (setting, candidate); the same inputs for every candidate of a setting.
class Subject {
 public:
  Subject(const Request& request, const Setting& setting, const Candidate& candidate);
  void forward();
  /// Forward and backward; gradients of q, k, v and the parameters.
  void forward_backward();
  /// Extra bytes that forward_backward needs at most, beyond inputs and parameters.
  int64_t peak_bytes();
  const std::string& mode() const { return mode_; }

 private:
  void clear_gradients();
  c10::Device device_;
  std::shared_ptr<AttentionImpl> module_;
  at::Tensor q_, k_, v_, upstream_, lengths_;
  std::string mode_;
};

}  // namespace lotformer::bench
