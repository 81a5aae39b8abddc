// SPDX-License-Identifier: MIT
#include "lotformer/train/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/util/Exception.h>
#include <sys/resource.h>

#include <charconv>
#include <cstdlib>
#include <new>
#include <thread>

#include "lotformer/core/error.h"
#include "lotformer/core/processors.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/cpu_memory.h"
#include "lotformer/train/device_memory.h"

namespace lotformer {
namespace {

Error translate(const c10::Error& error) {
  std::string line = error.what_without_backtrace();
  line = line.substr(0, line.find('\n'));
  if (is_out_of_memory(error)) {
    const int64_t peak = ops::cpu_memory().peak;  // a GPU's own words hold what is taken there
    const bool on_cpu = line.find("on the CPU") != std::string::npos && peak > 0;
    return {ErrorKind::memory,
            concat("out of memory: ", line,
                   on_cpu ? concat(", where tensors held ", format_bytes(peak), " at most until then") : "",
                   " (a smaller train.batch_size or a larger train.accumulate needs less; "
                   "train.microbatch=auto finds out how much fits)")};
  }
  if (line.find("CUDA") != std::string::npos || line.find("cuda") != std::string::npos)
    return {ErrorKind::device, line};
  return {ErrorKind::internal, "internal error: " + line};
}

}  // namespace

c10::Device parse_device(const std::string& text) {
  const bool cuda = at::hasCUDA();
  if (text == "cpu") return c10::Device(c10::kCPU);
  if (text == "auto") return cuda ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  int index = 0;
  if (text.rfind("cuda", 0) != 0)
    throw Error(ErrorKind::usage, "--device: " + quoted(text) + " is none of auto, cpu, cuda, cuda:N");
  if (text.size() > 4) {
    const char* end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data() + 5, end, index);
    if (text[4] != ':' || text.size() == 5 || stop != end || code != std::errc{} || index < 0) {
      throw Error(ErrorKind::usage, "--device: " + quoted(text) + " is none of auto, cpu, cuda, cuda:N");
    }
  }
  if (!cuda)
    throw Error(ErrorKind::device,
                "--device " + text + ": no CUDA device (built without CUDA, or no driver or GPU found)");
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (index >= count)
    throw Error(ErrorKind::device,
                concat("--device ", text, ": this machine has ", count, " CUDA devices, counted from 0"));
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::string device_name(c10::Device device) {
  if (device.is_cpu()) return "cpu";
  return concat(cuda_device_name(device.index()), " (cuda:", static_cast<int>(device.index()), ")");
}

int64_t set_threads(int64_t threads) {
  if (threads > most_threads())
    throw Error(ErrorKind::usage, concat(threads, " threads are wanted, and this machine has ",
                                         std::thread::hardware_concurrency(), " processors; at most ",
                                         most_threads(), " are accepted here"));
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : usable_processors()));
  return at::get_num_threads();
}

void wait_passively(int64_t threads) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if ((threads > 0 ? threads : usable_processors()) <= 1) return;
  if (std::getenv(kPolicy) != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv(kPolicy, "passive", 1);
  restart_program();
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  const auto* torchs = dynamic_cast<const c10::Error*>(&error);
  if (torchs == nullptr) return false;
  const std::string text = torchs->what_without_backtrace();
  return text.find("can't allocate memory") != std::string::npos ||
         text.find("not enough memory") != std::string::npos;
}

int64_t peak_memory_bytes(c10::Device device) {
  if (device.is_cuda()) return cuda_peak_bytes(device.index());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int run_torch_program(const std::string& name, const std::function<int()>& body) {
  return run_program(name, [&]() -> int {
    ops::install_cpu_allocator();
    try {
      return body();
    } catch (const c10::Error& error) {
      throw translate(error);
    }
  });
}

}  // namespace lotformer
