// SPDX-License-Identifier: MIT
// The rules over a task and its options, each in one wording. A configuration reports them with file and line
// before any data are read, open_task() to those who come from C++.
#pragma once

#include <cstdint>
#include <string>

#include "lotformer/data/task.h"

namespace lotformer::data {

/// The same words for rules that only the files can decide. Error(usage) when `pad_to` is set and less than
/// `longest`.
void require_room(const DataOptions& options, int64_t longest);

}  // namespace lotformer::data
