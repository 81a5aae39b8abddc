// SPDX-License-Identifier: MIT
// Transport plans of chosen examples, layers and heads in a file, for plots (lotformer-eval --plans; format:
// docs/lotformer.md).
#pragma once

#include <filesystem>
#include <vector>

#include "lotformer/core/json.h"
#include "lotformer/data/dataset.h"
#include "lotformer/train/evaluation.h"
#include "train/session.h"

namespace lotformer {

/// Error(usage) for what can be told without a model: folder, ending, negative numbers.
void check_plan_request(const PlanRequest& request);

/// Runs the examples one by one in evaluation mode and writes the file. `about` (JSON object) stands at its
/// head. Error(usage) when a row, layer or head does not exist or the attention has no plans.
void export_plans(Session& session, const data::Dataset& dataset, const PlanRequest& request,
                  const Json& about);

}  // namespace lotformer
