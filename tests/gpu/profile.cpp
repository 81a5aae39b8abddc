// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <map>
#include <set>

#include "commands.h"
#include "json_line.h"
#include "lotformer/core/median.h"

namespace lotformer::gpu {
namespace {

constexpr int kRuns = 10;

/// "void lotformer::ops::pivot::cuda::pivot_solve<...>(...)" -> "pivot_solve<...>"; others as they are.
std::string short_name(const std::string& kernel) {
  const size_t begin = kernel.find("pivot_");
  return begin == std::string::npos ? kernel : kernel.substr(begin, kernel.find('(', begin) - begin);
}

}  // namespace

void profile_task(const Setting& setting, const std::string& task) {
  using namespace torch::profiler::impl;
  const Call call = task_call(setting, task);
  for (int i = 0; i < 3; ++i) run(call, Path::core);
  c10::cuda::device_synchronize();
  const ProfilerConfig config(ProfilerState::KINETO);
  const std::set<ActivityType> activities = {ActivityType::CUDA};
  torch::autograd::profiler::prepareProfiler(config, activities);
  torch::autograd::profiler::enableProfiler(config, activities);
  for (int i = 0; i < kRuns; ++i) run(call, Path::core);
  c10::cuda::device_synchronize();
  const auto result = torch::autograd::profiler::disableProfiler();
  std::map<std::string, std::vector<double>> microseconds;
  for (const auto& event : result->events()) {
    if (event.deviceType() == c10::DeviceType::CUDA)
      microseconds[short_name(event.name())].push_back(static_cast<double>(event.durationNs()) * 1e-3);
  }
  for (const auto& [kernel, times] : microseconds) {
    JsonLine line("kernel_time");
    line.text("task", task).text("kernel", kernel).number("median_us", median(times));
    line.number("launches_a_call", static_cast<double>(times.size()) / kRuns).print();
  }
}

}  // namespace lotformer::gpu
