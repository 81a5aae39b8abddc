// SPDX-License-Identifier: MIT
// One ListOps TSV file, row by row, in bounded memory. Format and checks: data contract, sections 2 and 10.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "data/tasks/source_files.h"

namespace lotformer::data::listops {

struct Row {
  /// Default ids, nothing cut.
  std::span<const uint8_t> tokens;
  int label = 0;
  int64_t depth = 0;
};

/// Calls `take` for each row of `file`. Throws DataError with its name and line for anything that is not an
/// official row; with `verify_labels` also for a label that its expression does not have.
void read_rows(SourceFile file, bool verify_labels, const std::function<void(const Row&)>& take);

}  // namespace lotformer::data::listops
