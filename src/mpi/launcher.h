// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace lotformer {

/// How many processes the launcher's environment says there are; 0: it does not say.
int64_t processes_said();

}  // namespace lotformer
