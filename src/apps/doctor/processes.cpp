// SPDX-License-Identifier: MIT
#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "apps/doctor/checks.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/mpi/device_sum.h"
#include "lotformer/mpi/open_world.h"

namespace lotformer::doctor {
namespace {

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::error_code code;
    if (std::filesystem::exists(std::filesystem::path(folder) / program, code)) return true;
  }
  return false;
}

/// A world of one goes through the same calls as one of many.
void check_device_sum(Report& report, c10::Device device) {
  constexpr float kValue = 3;
  try {
    const c10::DeviceGuard guard(device);
    const DeviceSum sum(make_device_sum_id(), 0, 1);
    const at::Tensor numbers = at::full({1 << 16}, kValue, at::TensorOptions().device(device));
    sum(numbers);
    if (!numbers.eq(kValue).all().item<bool>())
      throw Error(ErrorKind::device, "the sum over one process is another number");
    report.ok("gradients over GPUs", concat(device_sum_library(), ", a sum over one process"));
  } catch (const Error& error) {
    report.problem("gradients over GPUs", error.what(), "one process can train; NCCL_DEBUG=INFO says more");
  }
}

}  // namespace

void check_processes(Report& report, c10::Device device) {
  const auto library = message_passing();
  if (!library)
    report.ok("processes", "built without MPI: one process trains a model");
  else if (on_path("mpirun") || on_path("srun"))
    report.ok("processes", concat(*library, ": several can train one model (docs/parallel.md)"));
  else
    report.warning("processes", concat(*library, ", and neither mpirun nor srun on PATH"),
                   "to train on several processes: openmpi-bin");
  if (device.is_cuda()) check_device_sum(report, device);
}

}  // namespace lotformer::doctor
