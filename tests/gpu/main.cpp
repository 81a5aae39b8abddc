// SPDX-License-Identifier: MIT
// pivot_check COMMAND [--quick]: the program of scripts/gpu_session.sh. Exit code 0: all passed, 1:
// something did not, 2: usage, 8: no GPU.
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "commands.h"
#include "lotformer/core/error.h"

#ifdef LOTFORMER_EMULATE_CUDA
#include "ops/pivot/binding/emulated_core.h"
#else
#include <cuda_runtime_api.h>
#endif

namespace lotformer::gpu {
namespace {

#ifdef LOTFORMER_EMULATE_CUDA
int run_command(const std::string& command, bool quick) {
  const test::EmulatedCore core;
  const Setting setting{at::kCPU, test::emulated_device(), /*emulated=*/true, quick};
  if (command == "results") return check_results(setting) ? 0 : 1;
  std::fprintf(stderr, "pivot_check: error: emulated kernels have the command results only\n");
  return 2;
}
#else
int run_command(const std::string& command, bool quick) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
    std::fprintf(stderr, "pivot_check: error: no GPU: %s\n", cudaGetErrorString(status));
    return static_cast<int>(ErrorKind::device);
  }
  Setting setting{c10::Device(at::kCUDA, 0), {}, /*emulated=*/false, quick};
  if (const std::string error = ops::pivot::cuda::query_device(0, setting.part); !error.empty())
    throw Error(ErrorKind::device, error);
  if (command == "results") return check_results(setting) ? 0 : 1;
  if (command == "capture") return check_capture(setting) ? 0 : 1;
  if (command == "smallest") return run_smallest(setting), 0;
  if (command == "ceilings") return measure_ceilings(setting), 0;
  if (command == "bench") return measure_attention(setting), 0;
  if (command.starts_with("profile=")) return profile_task(setting, command.substr(8)), 0;
  std::fprintf(stderr,
               "pivot_check: error: results, capture, smallest, ceilings, bench or profile=TASK, not %s\n",
               command.c_str());
  return 2;
}
#endif

}  // namespace
}  // namespace lotformer::gpu

int main(int argc, char** argv) {
  try {
    const bool quick = argc > 2 && std::strcmp(argv[2], "--quick") == 0;
    return lotformer::gpu::run_command(argc > 1 ? argv[1] : "", quick);
  } catch (const lotformer::Error& error) {
    std::fprintf(stderr, "pivot_check: error: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pivot_check: error: %s\n", error.what());
    return 1;
  }
}
