// SPDX-License-Identifier: MIT
// The Pathfinder tasks (data contract, section 6): 32, 64, 128 (Path-X) and 256 pixels an edge.
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec pathfinder32_spec();
TaskSpec pathfinder64_spec();
TaskSpec pathfinder128_spec();
TaskSpec pathfinder256_spec();
/// pathfinder128 under its other name.
TaskSpec pathx_spec();

}  // namespace lotformer::data
