// SPDX-License-Identifier: MIT
// The ListOps task (Nangia and Bowman 2018, in the lengths of the Long Range Arena).
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec listops_spec();

}  // namespace lotformer::data
