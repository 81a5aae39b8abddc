// SPDX-License-Identifier: MIT
#pragma once

#include <torch/nn/module.h>

namespace lotformer {

/// A module is in evaluation mode while this lives, and as it was afterwards.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
    module_.eval();
  }
  ~EvaluationMode() { module_.train(training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& module_;
  bool training_;
};

}  // namespace lotformer
