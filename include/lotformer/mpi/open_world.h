// SPDX-License-Identifier: MIT
// The world that `mpirun` or `srun` has started this process in.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "lotformer/train/world.h"

namespace lotformer {

/// Whether a launcher has started this process as one of several, from the environment alone.
bool started_by_launcher();
/// Error(usage) when `srun` has started several tasks without telling them of each other.
void require_known_launcher();

/// Collective for all processes of the launcher; lone_world() where there is none. A call that the others
/// have not answered after `patience` ends this process with Error(device) that names them. Error(usage) when
/// there is a launcher and this build has no MPI, Error(device) when MPI cannot be started.
std::shared_ptr<const World> open_world(std::chrono::seconds patience);

/// What this build trains several processes with: "Open MPI v4.1.4" with its libraries, or nothing.
std::optional<std::string> message_passing();

}  // namespace lotformer
