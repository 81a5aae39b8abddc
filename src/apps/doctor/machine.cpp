// SPDX-License-Identifier: MIT
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <torch/version.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "apps/doctor/checks.h"
#include "lotformer/core/error.h"
#include "lotformer/core/processors.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/device_memory.h"

namespace lotformer::doctor {
namespace fs = std::filesystem;
namespace {

std::string cuda_version(int number) {
  return concat(number / 1000, ".", number % 1000 / 10);
}

/// "Name: value" or "Name   : value" of /proc; "" when it is not there.
std::string proc_value(const char* file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(name, 0) != 0) continue;
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string text_of(const char* path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

int64_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

}  // namespace

void check_build(Report& report) {
  const auto cuda = cuda_versions();
  const std::string text = concat("lotformer ", build_id(), ", g++ ", __VERSION__, ", CUDA ",
                                  cuda ? "on (runtime " + cuda_version(cuda->runtime) + ")" : "off",
                                  ", C library ", ::gnu_get_libc_version());
#ifdef NDEBUG
  report.ok("build", text);
#else
  report.warning("build", text + ", not optimised", "cmake --preset release is many times faster");
#endif
  report.ok("libraries", concat("LibTorch ", TORCH_VERSION, " (", at::get_cpu_capability(), "), CLI11 ",
                                CLI11_VERSION, ", nlohmann_json ", NLOHMANN_JSON_VERSION_MAJOR, ".",
                                NLOHMANN_JSON_VERSION_MINOR, ".", NLOHMANN_JSON_VERSION_PATCH));
  const char* named = std::getenv("LOTFORMER_CONFIG_DIR");
  std::error_code code;
  if (!config_directory().empty())
    report.ok("configs", config_directory().string());
  else if (named != nullptr && fs::is_directory(named, code))
    report.ok("configs", concat(named, " ($LOTFORMER_CONFIG_DIR)"));
  else
    report.problem(
        "configs", "no folder of configurations beside the programs",
        "keep bin and share/lotformer/configs together, set LOTFORMER_CONFIG_DIR, or give --config a "
        "whole path");
}

void check_host(Report& report) {
  const int64_t usable = usable_processors(), all = ::sysconf(_SC_NPROCESSORS_ONLN);
  const auto granted = granted_processors(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  const char* wanted = std::getenv("OMP_NUM_THREADS");
  const std::string processors = concat(proc_value("/proc/cpuinfo", "model name"), ": ", usable, " of ", all,
                                        " processors usable (affinity ", affinity(), ", control group ",
                                        granted ? std::to_string(*granted) : "without a quota",
                                        ", OMP_NUM_THREADS ", wanted != nullptr ? wanted : "not set", ")");
  std::istringstream loads(text_of("/proc/loadavg"));
  double load = 0;
  loads >> load;
  if (load > 1.5 * static_cast<double>(all))
    report.warning("processors", concat(processors, "; load ", load),
                   "others compute here too: --set train.threads=1 is often the fastest");
  else
    report.ok("processors", processors);
  const int64_t available = std::atoll(proc_value("/proc/meminfo", "MemAvailable").c_str()) * 1024;
  const std::string memory = concat(format_bytes(available), " of memory available");
  if (available < int64_t{2} << 30)
    report.warning("memory", memory,
                   "train.accumulate or train.microbatch=auto, and fewer programs beside it");
  else
    report.ok("memory", memory);
}

c10::Device find_device(Report& report, const std::string& text) {
  try {
    return parse_device(text);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::device) throw;
    report.problem("device", error.what(), "docs/troubleshooting.md, 'The GPU is not used'");
    return c10::Device(c10::kCPU);
  }
}

void check_device(Report& report, c10::Device device) {
  const auto cuda = cuda_versions();
  const bool driver = fs::exists("/proc/driver/nvidia/version");
  if (device.is_cuda()) {
    const int64_t free = cuda_free_bytes(device.index());
    const std::string text = concat(device_name(device), ", driver for CUDA ", cuda_version(cuda->driver),
                                    ", ", format_bytes(free), " free");
    if (free < int64_t{4} << 30)
      report.warning("device", text, "nvidia-smi shows who has the memory");
    else
      report.ok("device", text);
  } else if (driver && !cuda) {
    report.warning("device", "an NVIDIA driver, and a build without CUDA",
                   "docs/troubleshooting.md, 'The GPU is not used'");
  } else if (driver) {
    report.warning("device", "an NVIDIA driver, and no device that can be used",
                   "nvidia-smi, CUDA_VISIBLE_DEVICES, and the driver's version");
  } else {
    report.ok("device", "no GPU: everything runs on the CPU");
  }
}

}  // namespace lotformer::doctor
