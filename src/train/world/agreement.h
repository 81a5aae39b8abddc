// SPDX-License-Identifier: MIT
// What processes must agree in before they train one model.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "lotformer/config/config.h"
#include "lotformer/core/json.h"
#include "lotformer/train/world.h"

namespace lotformer {

/// Collective: Error(usage) naming the first rank whose program or configuration differs from that of rank 0
/// and the keys that do (data.root may: what lies there is compared when it has been opened), or when the
/// configuration is for one process alone.
void require_same_experiment(const World& world, const Config& config);

/// The device of this process: "auto" and "cuda" mean one for each process of a machine, in order.
/// Error(usage) for "cuda:N" where they are several on a machine, Error(device) where there are too few.
c10::Device device_of(const World& world, const std::string& text);

}  // namespace lotformer
