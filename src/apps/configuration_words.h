// SPDX-License-Identifier: MIT
#pragma once

#include "command_line.h"
#include "lotformer/config/load.h"

namespace lotformer {

/// What may stand for CONFIG, KEY=VALUE and DEVICE, for completion.
inline manual::ValueWords configuration_words(const Kinds& kinds) {
  return {{"CONFIG", config_names()}, {"KEY=VALUE", assignment_words(kinds)}, {"DEVICE", device_words()}};
}

}  // namespace lotformer
