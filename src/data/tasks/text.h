// SPDX-License-Identifier: MIT
// The Text task: IMDb reviews as bytes (data contract, section 3) or characters.
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec text_spec();

}  // namespace lotformer::data
