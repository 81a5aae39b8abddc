// SPDX-License-Identifier: MIT
// The ListOps task (Nangia and Bowman 2018, in the lengths of the Long Range Arena).
#pragma once

#include <memory>

#include "lotformer/data/task.h"

namespace lotformer::data {

std::unique_ptr<Task> open_listops(const DataOptions& options);

}  // namespace lotformer::data
