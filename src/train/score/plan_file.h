// SPDX-License-Identifier: MIT
// The two formats of lotformer-eval --plans (docs/lotformer.md).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/core/json.h"
#include "lotformer/data/task.h"
#include "train/inspect/solver_tally.h"

namespace lotformer {

/// One sequence of one example.
struct PlannedSequence {
  at::Tensor ids;                      // int64 [n]
  at::Tensor positions;                // int64 [n] or undefined
  std::vector<TransportPlans> layers;  // of the chosen layers: [heads chosen, r, n] float32 on the CPU
};

struct PlannedExample {
  int64_t row = 0, label = 0, prediction = 0;
  /// How the problems behind its plans (of all layers and heads) ended.
  std::optional<TransportCount> transport;
  std::vector<PlannedSequence> sequences;
};

/// What stands around the examples.
struct PlanFileInfo {
  Json about;  // object
  std::vector<std::string> classes;
  data::Vocabulary vocabulary;  // of the ids
  std::vector<int64_t> rows, layers, heads;
};

/// Of a .safetensors file: 512 MiB.
inline constexpr int64_t kMostPlanEntries = int64_t{1} << 27;

/// `example` makes the plans of one row. JSON holds one example in memory at a time; .safetensors, whose
/// header comes first, all of them: Error(usage) beyond kMostPlanEntries numbers.
void write_plans_json(const std::filesystem::path& file, const PlanFileInfo& info,
                      const std::function<PlannedExample(int64_t row)>& example);
void write_plans_safetensors(const std::filesystem::path& file, const PlanFileInfo& info,
                             const std::function<PlannedExample(int64_t row)>& example);

}  // namespace lotformer
