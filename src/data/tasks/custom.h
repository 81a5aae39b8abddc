// SPDX-License-Identifier: MIT
// `task: custom`: data of the user's own, a TSV file for each split (docs/data.md).
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

/// Classes at most: a larger label is taken for a slip.
inline constexpr int64_t kMostCustomClasses = 65536;
/// Where `max_length` is 0, a longer row than this is cut.
inline constexpr int64_t kLongestCustomRow = 16384;

TaskSpec custom_spec();

}  // namespace lotformer::data
