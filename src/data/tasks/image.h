// SPDX-License-Identifier: MIT
// The Image task: CIFAR-10 in grey, pixel by pixel (data contract, section 5).
#pragma once

#include <memory>

#include "lotformer/data/task.h"

namespace lotformer::data {

std::unique_ptr<Task> open_image(const DataOptions& options);

}  // namespace lotformer::data
