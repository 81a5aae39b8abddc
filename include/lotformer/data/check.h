// SPDX-License-Identifier: MIT
// `lotformer-data check`: reads every file of a task anew (no cache is trusted), verifies what can be
// verified and sums up.
#pragma once

#include <string>

#include "lotformer/core/json.h"
#include "lotformer/data/task.h"

namespace lotformer::data {

/// Summary of all splits: rows, class balance, quartiles of the lengths, cut examples, fingerprint; origin
/// and reference lines. Throws what the task's reader throws (DataError with file and line).
Json check_task(const std::string& task, DataOptions options);

/// The summary as text for people.
std::string describe_check(const Json& summary);

}  // namespace lotformer::data
