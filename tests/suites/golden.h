// SPDX-License-Identifier: MIT
// Runners of the golden suite, one for each kind of case.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "lotformer/attention/attention.h"
#include "support/golden.h"

namespace lotformer::test {

/// How the module of a case is built in `type`; nullptr for a family the module does not have.
struct GoldenModule {
  std::string kind;
  /// Of the implementation, for messages; empty: there is one.
  std::string variant;
  std::shared_ptr<AttentionImpl> (*build)(const GoldenCase& golden, const AttentionShape& shape,
                                          at::ScalarType type);
};
/// The rows of golden_modules.cpp for a kind: one for each implementation.
std::vector<GoldenModule> find_golden_modules(const std::string& kind);

/// Attention modules: outputs, every named gradient, plans and sums, in float64 and float32.
void run_attention_case(const GoldenCase& golden, Report& report);
/// The whole encoder with its optimiser; dispatches on the attention in the hyperparameters.
void run_model_case(const GoldenCase& golden, Report& report);
/// The learning-rate schedule.
void run_schedule_case(const GoldenCase& golden, Report& report);

/// True for the kinds of the table. A case of any other is an error, never skipped.
bool is_attention(const std::string& kind);

/// Walks every case of `folder` and dispatches on its module. Error(data) for an unknown module, a missing
/// file, an empty index.
Report run_golden(const std::filesystem::path& folder);

}  // namespace lotformer::test
