// SPDX-License-Identifier: MIT
// The Text task: IMDb reviews as bytes (data contract, section 3) or characters.
#pragma once

#include <memory>

#include "lotformer/data/task.h"

namespace lotformer::data {

std::unique_ptr<Task> open_text(const DataOptions& options);

}  // namespace lotformer::data
