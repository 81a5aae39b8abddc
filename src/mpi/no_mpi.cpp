// SPDX-License-Identifier: MIT
#include "lotformer/mpi/open_world.h"

namespace lotformer {

std::shared_ptr<const World> open_world(std::chrono::seconds /*patience*/) {
  require_known_launcher();
  if (started_by_launcher())
    throw Error(ErrorKind::usage,
                "a launcher (mpirun, srun) has started this process as one of several, and this build has no "
                "MPI to find the others with: install Open MPI's headers (libopenmpi-dev), configure and "
                "build again; or start one process");
  return lone_world();
}

std::optional<std::string> message_passing() {
  return std::nullopt;
}

}  // namespace lotformer
