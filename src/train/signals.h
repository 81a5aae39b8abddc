// SPDX-License-Identifier: MIT
#pragma once

namespace lotformer {

/// SIGINT and SIGTERM set a flag that the trainer reads between steps; a second signal ends the process at
/// once.
void catch_stop_signals();
/// Number of the signal that arrived, or 0.
int stop_signal();

}  // namespace lotformer
