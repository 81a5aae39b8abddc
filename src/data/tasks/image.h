// SPDX-License-Identifier: MIT
// The Image task: CIFAR-10 in grey, pixel by pixel (data contract, section 5).
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec image_spec();

}  // namespace lotformer::data
