// SPDX-License-Identifier: MIT
// The Pathfinder tasks (data contract, section 6): 32, 64, 128 (Path-X) and 256 pixels an edge.
#pragma once

#include <memory>

#include "lotformer/data/task.h"

namespace lotformer::data {

std::unique_ptr<Task> open_pathfinder32(const DataOptions& options);
std::unique_ptr<Task> open_pathfinder64(const DataOptions& options);
std::unique_ptr<Task> open_pathfinder128(const DataOptions& options);
std::unique_ptr<Task> open_pathfinder256(const DataOptions& options);
std::unique_ptr<Task> open_pathx(const DataOptions& options);  ///< pathfinder128 under its other name

}  // namespace lotformer::data
