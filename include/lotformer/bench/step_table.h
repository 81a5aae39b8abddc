// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "lotformer/core/json.h"

namespace lotformer::bench {

/// What measure_step reports, as Markdown.
std::string step_table(const Json& report);

}  // namespace lotformer::bench
