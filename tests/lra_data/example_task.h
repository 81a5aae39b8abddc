// SPDX-License-Identifier: MIT
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec parity_spec();

}  // namespace lotformer::data
