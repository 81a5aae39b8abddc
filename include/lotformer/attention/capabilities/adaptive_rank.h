// SPDX-License-Identifier: MIT
// A capability of attention modules: changing their own shape during training. After a step for which a
// survey is due the trainer begins one, runs forward and backward passes over recent batches in evaluation
// mode, shows the module the scores of each, and ends it. What the module decides must be a function of its
// parameters, these batches and the seed alone, so that a resumed run decides the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lotformer/attention/diagnostics.h"

namespace lotformer {

/// What a survey of a module's own shape found and what it changed.
struct Survey {
  /// A parameter of the module that has another shape now.
  struct Resized {
    std::string name;
    /// [H, new, old]: the parameter's gradient is this times the gradient of the old one, along axis 1.
    at::Tensor gradient_map;
  };
  /// For the log.
  Diagnostics numbers;
  /// Of the map, descending, means over examples and heads.
  std::vector<double> singular_values;
  std::vector<Resized> resized;
};

class AdaptiveRank {
 public:
  virtual ~AdaptiveRank() = default;
  /// Whether the module wants a survey after this step.
  virtual bool survey_due(int64_t step) const = 0;
  /// From here on, until the survey ends, backward passes leave what the module wants to know of the loss.
  virtual void begin_survey() = 0;
  /// What a forward pass of the survey handed over: q, k [B, H, N, D], lengths [B] or undefined.
  virtual void survey_batch(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) = 0;
  /// Decides, and changes the parameters.
  virtual Survey end_survey(uint64_t seed) = 0;
  /// Before stored tensors are copied into the module: takes their shapes, where it can change its own.
  /// `stored` finds a tensor by its name in the module, nullptr: not there.
  virtual void match_shapes(const std::function<const at::Tensor*(const std::string& name)>& stored) = 0;
};

}  // namespace lotformer
