// SPDX-License-Identifier: MIT
// The Retrieval task: pairs of papers as bytes (data contract, section 4) or characters.
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

TaskSpec retrieval_spec();

}  // namespace lotformer::data
