// SPDX-License-Identifier: MIT
#include "profile_table.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

namespace kineto = torch::autograd::profiler;
using Events = std::vector<const kineto::KinetoEvent*>;

constexpr size_t kParts = 40, kOperators = 15;
constexpr const char* kMemoryEvent = "[memory]";

struct Tally {
  int64_t calls = 0;
  uint64_t total = 0, self = 0;  // ns
  /// Allocated inside, whether or not it was given back there.
  int64_t bytes = 0;
  /// Kernels launched inside, on a CPU operators that call no other.
  int64_t launches = 0;
};

bool is_launch(const std::string& name) {
  return name.rfind("cudaLaunchKernel", 0) == 0 || name.rfind("cuLaunchKernel", 0) == 0;
}

void sort_events(Events& events) {
  std::stable_sort(events.begin(), events.end(), [](const auto* a, const auto* b) {
    return std::tuple(a->startThreadId(), a->startNs(), b->durationNs()) <
           std::tuple(b->startThreadId(), b->startNs(), a->durationNs());
  });
}

/// Of a sorted list. What stands inside another event of its thread is taken off that one's own time.
std::map<std::string, Tally> tally(const Events& events) {
  std::map<std::string, Tally> result;
  Events open;
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

bool stands_inside(const kineto::KinetoEvent& inner, const kineto::KinetoEvent& outer) {
  return inner.startThreadId() == outer.startThreadId() && inner.startNs() >= outer.startNs() &&
         inner.startNs() < outer.endNs();
}

/// Adds to each range what was allocated and launched while it was open in its thread. All three lists are
/// sorted by thread and start.
void add_contents(std::map<std::string, Tally>& tallies, const Events& ranges, const Events& allocations,
                  const Events& launches) {
  const auto before = [](const auto* event, const auto* range) {
    return std::tuple(event->startThreadId(), event->startNs()) <
           std::tuple(range->startThreadId(), range->startNs());
  };
  for (const auto* range : ranges) {
    Tally& tally = tallies[range->name()];
    for (auto it = std::lower_bound(allocations.begin(), allocations.end(), range, before);
         it != allocations.end() && stands_inside(**it, *range); ++it)
      tally.bytes += std::max<int64_t>(0, (*it)->nBytes());
    for (auto it = std::lower_bound(launches.begin(), launches.end(), range, before);
         it != launches.end() && stands_inside(**it, *range); ++it)
      ++tally.launches;
  }
}

/// Those that hold no other of the list, which is sorted.
Events innermost(const Events& events) {
  Events result;
  for (size_t i = 0; i < events.size(); ++i) {
    if (i + 1 == events.size() || !stands_inside(*events[i + 1], *events[i])) result.push_back(events[i]);
  }
  return result;
}

std::string right_aligned(const std::string& text, size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

/// Rows by time, the longest first.
std::vector<std::pair<std::string, Tally>> sorted_rows(const std::map<std::string, Tally>& tallies,
                                                       bool by_self, size_t most) {
  std::vector<std::pair<std::string, Tally>> rows(tallies.begin(), tallies.end());
  const auto time = [by_self](const Tally& t) { return by_self ? t.self : t.total; };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const auto& a, const auto& b) { return time(a.second) > time(b.second); });
  if (rows.size() > most) rows.resize(most);
  return rows;
}

std::string per_step(double value, int64_t steps, int digits) {
  return right_aligned(format_fixed(value / static_cast<double>(steps), digits), 12);
}

std::string table_of_parts(const std::map<std::string, Tally>& tallies, int64_t steps, bool on_device) {
  std::string text = concat("  parts of a step: milliseconds, calls, MiB allocated, ",
                            on_device ? "kernels launched" : "operators", " (each a step)\n");
  for (const auto& [name, t] : sorted_rows(tallies, false, kParts)) {
    text += concat(per_step(static_cast<double>(t.total) / 1e6, steps, 3),
                   per_step(static_cast<double>(t.calls), steps, 1),
                   per_step(static_cast<double>(t.bytes) / (1 << 20), steps, 2),
                   per_step(static_cast<double>(t.launches), steps, 1), "  ", name.substr(0, 80), "\n");
  }
  return text;
}

std::string table_of_operators(const std::string& title, const std::map<std::string, Tally>& tallies,
                               int64_t steps) {
  if (tallies.empty()) return {};
  std::string text = concat("  ", title, ": milliseconds, calls (each a step)\n");
  for (const auto& [name, t] : sorted_rows(tallies, true, kOperators)) {
    text += concat(per_step(static_cast<double>(t.self) / 1e6, steps, 3),
                   per_step(static_cast<double>(t.calls), steps, 1), "  ", name.substr(0, 80), "\n");
  }
  return text;
}

}  // namespace

std::string profile_table(const kineto::ProfilerResult& result, int64_t steps) {
  Events ranges, operators, allocations, launches, kernels;
  for (const auto& event : result.events()) {
    const std::string name = event.name();
    if (name == kMemoryEvent) {
      allocations.push_back(&event);
    } else if (event.deviceType() != c10::DeviceType::CPU) {
      kernels.push_back(&event);
    } else if (event.scope() == static_cast<uint8_t>(at::RecordScope::USER_SCOPE)) {
      ranges.push_back(&event);
    } else {
      (is_launch(name) ? launches : operators).push_back(&event);
    }
  }
  for (Events* events : {&ranges, &operators, &allocations, &launches, &kernels}) sort_events(*events);
  const bool on_device = !launches.empty();
  auto parts = tally(ranges);
  add_contents(parts, ranges, allocations, on_device ? launches : innermost(operators));
  std::string text = table_of_parts(parts, steps, on_device);
  text += table_of_operators("operators on the CPU, without what they call", tally(operators), steps);
  text += table_of_operators("kernels and copies on the device", tally(kernels), steps);
  text.pop_back();
  return text;
}

}  // namespace lotformer
