// SPDX-License-Identifier: MIT
#include "profiler.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

namespace kineto = torch::autograd::profiler;
namespace torch_profiler = torch::profiler::impl;

constexpr size_t kOperators = 15;

std::set<torch_profiler::ActivityType> activities(bool with_cuda) {
  std::set<torch_profiler::ActivityType> result = {torch_profiler::ActivityType::CPU};
  if (with_cuda) result.insert(torch_profiler::ActivityType::CUDA);
  return result;
}

torch_profiler::ProfilerConfig configuration() {
  return torch_profiler::ProfilerConfig(torch_profiler::ProfilerState::KINETO);
}

struct Tally {
  int64_t calls = 0;
  uint64_t total = 0, self = 0;  // ns
};

/// What stands inside another event of its thread is taken off that one's own time.
std::map<std::string, Tally> tally(std::vector<const kineto::KinetoEvent*> events) {
  std::stable_sort(events.begin(), events.end(), [](const auto* a, const auto* b) {
    return std::tuple(a->startThreadId(), a->startNs(), b->durationNs()) <
           std::tuple(b->startThreadId(), b->startNs(), a->durationNs());
  });
  std::map<std::string, Tally> result;
  std::vector<const kineto::KinetoEvent*> open;
  for (const auto* event : events) {
    while (!open.empty() && (open.back()->startThreadId() != event->startThreadId() ||
                             open.back()->endNs() <= event->startNs()))
      open.pop_back();
    if (!open.empty()) {
      uint64_t& self = result[open.back()->name()].self;
      self -= std::min(self, event->durationNs());
    }
    Tally& own = result[event->name()];
    ++own.calls;
    own.total += event->durationNs();
    own.self += event->durationNs();
    open.push_back(event);
  }
  return result;
}

std::string milliseconds(uint64_t ns, int64_t steps) {
  return format_fixed(static_cast<double>(ns) / 1e6 / static_cast<double>(steps), 3);
}

void add_table(std::string& text, const std::string& title, const std::map<std::string, Tally>& tallies,
               bool by_self, size_t most, int64_t steps) {
  std::vector<std::pair<std::string, Tally>> rows(tallies.begin(), tallies.end());
  const auto time = [by_self](const Tally& t) { return by_self ? t.self : t.total; };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const auto& a, const auto& b) { return time(a.second) > time(b.second); });
  if (rows.size() > most) rows.resize(most);
  if (rows.empty()) return;
  text += concat("  ", title, " (milliseconds a step, calls a step)\n");
  for (const auto& [name, t] : rows) {
    const std::string ms = milliseconds(time(t), steps);
    text += concat(std::string(ms.size() < 12 ? 12 - ms.size() : 0, ' '), ms, "  ",
                   format_fixed(static_cast<double>(t.calls) / static_cast<double>(steps), 1), "  ",
                   name.substr(0, 80), "\n");
  }
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
  std::vector<const kineto::KinetoEvent*> ranges, operators, kernels;
  for (const auto& event : result->events()) {
    if (event.deviceType() != c10::DeviceType::CPU) {
      kernels.push_back(&event);
    } else if (event.scope() == static_cast<uint8_t>(at::RecordScope::USER_SCOPE)) {
      ranges.push_back(&event);
    } else {
      operators.push_back(&event);
    }
  }
  const int64_t steps = request_.last - request_.first + 1;
  std::string text = concat("profile of steps ", request_.first, " to ", request_.last, ", trace in ",
                            file.string(), " (open it in ui.perfetto.dev)\n");
  add_table(text, "parts of a step", tally(ranges), false, 40, steps);
  add_table(text, "operators on the CPU, without what they call", tally(operators), true, kOperators, steps);
  add_table(text, "kernels and copies on the device", tally(kernels), false, kOperators, steps);
  text.pop_back();
  return text;
}

}  // namespace lotformer
