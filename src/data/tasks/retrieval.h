// SPDX-License-Identifier: MIT
// The Retrieval task: pairs of papers as bytes (data contract, section 4) or characters.
#pragma once

#include <memory>

#include "lotformer/data/task.h"

namespace lotformer::data {

std::unique_ptr<Task> open_retrieval(const DataOptions& options);

}  // namespace lotformer::data
