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
  std::filesystem::path file;          ///< .json or .safetensors; empty: nothing is written
  std::vector<int64_t> rows = {0};     ///< of the split
  std::vector<int64_t> layers, heads;  ///< empty: all
};

struct EvaluationRequest {
  std::filesystem::path path;            ///< a run folder or a checkpoint
  std::string checkpoint;                ///< best | last | "" (the best, else the last)
  std::string split = "test";            ///< val | test
  std::vector<std::string> assignments;  ///< --set KEY=VALUE on top of the recorded configuration
  std::string device = "auto";
  std::filesystem::path predictions;  ///< empty: not written
  PlanRequest plans;                  ///< without a file: not written
};

/// Scores the split. The object has accuracy, loss, examples, their breakdowns (per class, by length and
/// depth where the task has them), the references, and what the run logged for the same checkpoint and split
/// where it did.
Json launch_evaluation(const EvaluationRequest& request);

/// The same for people.
std::string describe_evaluation(const Json& evaluation);

}  // namespace lotformer
