// SPDX-License-Identifier: MIT
#include "launcher.h"

#include <cstdlib>
#include <string>

#include "lotformer/core/text.h"
#include "lotformer/mpi/open_world.h"

namespace lotformer {
namespace {

int64_t number_of(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
}

bool is_set(const char* name) {
  return std::getenv(name) != nullptr;
}

}  // namespace

int64_t processes_said() {
  // Open MPI's mpirun; PMI-1 and -2 (srun, Hydra).
  return is_set("OMPI_COMM_WORLD_SIZE") ? number_of("OMPI_COMM_WORLD_SIZE") : number_of("PMI_SIZE");
}

bool started_by_launcher() {
  if (const int64_t said = processes_said(); said > 0) return said > 1;
  // PMIx (srun --mpi=pmix, prterun) does not say; Slurm does beside it.
  return is_set("PMIX_NAMESPACE") && number_of("SLURM_STEP_NUM_TASKS") != 1;
}

void require_known_launcher() {
  if (started_by_launcher() || is_set("OMPI_COMM_WORLD_SIZE")) return;
  // Of a step, which srun makes; a batch script that starts one process itself has tasks but no such step.
  if (number_of("SLURM_STEP_NUM_TASKS") > 1 && is_set("SLURM_STEP_ID"))
    throw Error(ErrorKind::usage,
                concat("srun has started ", number_of("SLURM_STEP_NUM_TASKS"),
                       " tasks that know nothing of each other; to train one model start them with "
                       "srun --mpi=pmix or with mpirun, to train several give each a job of its own"));
}

}  // namespace lotformer
