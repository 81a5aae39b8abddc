// SPDX-License-Identifier: MIT
// One command that trains on several devices of this machine.
#pragma once

#include <optional>
#include <string>

namespace lotformer {

/// Runs `mpirun` with so many copies of this program, its arguments without --devices, waits for it and
/// returns the exit code; nothing when one process is meant, which this one is. A signal to this process
/// stops all of theirs, saved. `devices`: a number, or "all" for as many as there are GPUs; `device` is what
/// --device says. Error(usage) for anything else, when this build has no MPI, or inside a launcher's process;
/// Error(device) when there is no GPU or mpirun cannot be started.
std::optional<int> start_processes(const std::string& devices, const std::string& device);

}  // namespace lotformer
