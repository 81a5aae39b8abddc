// SPDX-License-Identifier: MIT
// evaluation/plans.json of a run folder (lotformer-eval --plans, docs/lotformer.md).
#pragma once

#include "lotformer/core/json.h"

namespace lotformer::report {

/// The examples of such a file: row, label, class, prediction, sequences of ids, tokens or width, and plans
/// of layer, head, query and key, [r][n] numbers each. Error(usage) for anything else, so that whoever draws
/// them need not ask.
Json checked_plans(const Json& file);

}  // namespace lotformer::report
