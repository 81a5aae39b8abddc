// SPDX-License-Identifier: MIT
// lotformer-eval behind its command line: a checkpoint alone is enough to rebuild the model and score a
// split.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer {

/// Transport plans that an evaluation writes beside its scores.
struct PlanRequest {
  /// .json or .safetensors; empty: nothing is written.
  std::filesystem::path file;
  /// Of the split.
  std::vector<int64_t> rows = {0};
  /// Empty: all.
  std::vector<int64_t> layers, heads;
};

struct EvaluationRequest {
  /// A run folder or a checkpoint.
  std::filesystem::path path;
  /// Best | last | "" (the best, else the last).
  std::string checkpoint;
  /// Val | test.
  std::string split = "test";
  /// --set KEY=VALUE on top of the recorded configuration.
  std::vector<std::string> assignments;
  std::string device = "auto";
  /// Empty: not written.
  std::filesystem::path predictions;
  /// Without a file: not written.
  PlanRequest plans;
  /// Predictions and plans of one example go to RUN/evaluation, where lotformer-report looks for them.
  bool for_report = false;
};

/// Scores the split. The object has accuracy, loss, examples, their breakdowns (per class, by length and
/// depth where the task has them), the references, and what the run logged for the same checkpoint and split
/// where it did.
Json launch_evaluation(const EvaluationRequest& request);

/// The same for people.
std::string describe_evaluation(const Json& evaluation);

}  // namespace lotformer
