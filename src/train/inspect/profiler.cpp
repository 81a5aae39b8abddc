// SPDX-License-Identifier: MIT
#include "profiler.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <charconv>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "train/inspect/profile_table.h"

namespace lotformer {
namespace {

namespace kineto = torch::autograd::profiler;
namespace torch_profiler = torch::profiler::impl;

std::set<torch_profiler::ActivityType> activities(bool with_cuda) {
  std::set<torch_profiler::ActivityType> result = {torch_profiler::ActivityType::CPU};
  if (with_cuda) result.insert(torch_profiler::ActivityType::CUDA);
  return result;
}

/// Allocations are recorded, shapes are not.
torch_profiler::ProfilerConfig configuration() {
  return torch_profiler::ProfilerConfig(torch_profiler::ProfilerState::KINETO, false, true);
}

}  // namespace

ProfileRequest parse_profile(const std::string& text) {
  const size_t dots = text.find("..");
  const auto number = [&](const std::string& part) {
    int64_t value = 0;
    const auto [end, code] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (code != std::errc() || end != part.data() + part.size() || value < 1)
      throw Error(ErrorKind::usage,
                  concat("--profile: ", quoted(text), " is no range of steps such as 10..20"));
    return value;
  };
  const ProfileRequest request{number(text.substr(0, dots)),
                               number(dots == std::string::npos ? text : text.substr(dots + 2))};
  if (request.last < request.first)
    throw Error(ErrorKind::usage, concat("--profile: ", quoted(text), " ends before it begins"));
  if (request.last - request.first >= 1000)
    throw Error(ErrorKind::usage,
                "--profile: at most 1000 steps; a trace holds every call of every operator");
  return request;
}

Profiler::Profiler(ProfileRequest request, std::filesystem::path folder, bool with_cuda)
    : request_(request), folder_(std::move(folder)), with_cuda_(with_cuda) {}

Profiler::~Profiler() {
  if (!running_) return;
  try {
    kineto::disableProfiler();  // the steps in question were broken off
  } catch (...) {               // nothing can be told from here
  }
}

void Profiler::begin_step(int64_t step) {
  if (running_ || step < request_.first || step > request_.last) return;
  kineto::prepareProfiler(configuration(), activities(with_cuda_));
  kineto::enableProfiler(
      configuration(), activities(with_cuda_),
      {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
  request_.first = step;  // where a resumed run comes in later
  running_ = true;
}

std::optional<std::string> Profiler::end_step(int64_t step) {
  if (!running_ || step < request_.last) return std::nullopt;
  return finish();
}

std::string Profiler::finish() {
  running_ = false;
  const auto result = kineto::disableProfiler();
  lotformer::create_directories(folder_);
  const auto file = folder_ / concat("trace-steps-", request_.first, "-", request_.last, ".json");
  result->save(file.string());
  if (!std::filesystem::exists(file))
    throw Error(ErrorKind::disk, file.string() + ": the trace could not be written");
  const int64_t steps = request_.last - request_.first + 1;
  return concat("profile of steps ", request_.first, " to ", request_.last, ", trace in ", file.string(),
                " (open it in ui.perfetto.dev)\n", profile_table(*result, steps));
}

}  // namespace lotformer
