// SPDX-License-Identifier: MIT
// Runners of the golden suite, one for each kind of case.
#pragma once

#include <filesystem>

#include "support/golden.h"

namespace lotformer::test {

/// Attention modules: outputs, every named gradient, plans and sums, in float64 and float32.
void run_attention_case(const GoldenCase& golden, Report& report);
/// The whole encoder with its optimiser; dispatches on the attention in the hyperparameters and skips, by
/// name, one not built yet.
void run_model_case(const GoldenCase& golden, Report& report);
/// The learning-rate schedule.
void run_schedule_case(const GoldenCase& golden, Report& report);

/// Attention kinds of the format that are not built yet: their cases are skipped.
bool is_future_attention(const std::string& kind);

/// Walks every case of `folder` and dispatches on its module. Error(data) for an unknown module, a missing
/// file, an empty index.
Report run_golden(const std::filesystem::path& folder);

}  // namespace lotformer::test
