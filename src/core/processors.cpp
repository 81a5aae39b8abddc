// SPDX-License-Identifier: MIT
#include "lotformer/core/processors.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace lotformer {
namespace fs = std::filesystem;
namespace {

/// Small files of /proc and /sys: what cannot be read says nothing.
std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::optional<int64_t> to_number(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::optional<int64_t> processors_of(const std::string& quota, const std::string& period) {
  const auto q = to_number(quota), p = to_number(period);  // "max" and -1: no limit
  if (!q || !p || *q <= 0 || *p <= 0) return std::nullopt;
  return (*q + *p - 1) / *p;
}

std::optional<int64_t> limit_of_group(const fs::path& group) {
  std::istringstream line(first_line(group / "cpu.max"));
  std::string quota, period;
  if (line >> quota >> period) return processors_of(quota, period);
  return processors_of(first_line(group / "cpu.cfs_quota_us"), first_line(group / "cpu.cfs_period_us"));
}

/// The smallest limit from `path` in a hierarchy up to its root.
void look_upwards(const fs::path& hierarchy, const std::string& path, std::optional<int64_t>& smallest) {
  fs::path group = hierarchy / fs::path(path).relative_path();
  const size_t depth = static_cast<size_t>(std::distance(hierarchy.begin(), hierarchy.end()));
  while (true) {
    if (const auto limit = limit_of_group(group)) smallest = std::min(smallest.value_or(*limit), *limit);
    if (static_cast<size_t>(std::distance(group.begin(), group.end())) <= depth ||
        group == group.parent_path())
      return;
    group = group.parent_path();
  }
}

bool names_cpu(const std::string& controllers) {
  std::istringstream list(controllers);
  for (std::string name; std::getline(list, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

std::optional<int64_t> granted_processors(const std::string& memberships, const fs::path& mount) {
  std::optional<int64_t> smallest;
  std::istringstream lines(memberships);
  for (std::string line; std::getline(lines, line);) {  // ID:CONTROLLERS:PATH
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    if (controllers.empty()) {
      look_upwards(mount, path, smallest);
    } else if (names_cpu(controllers)) {
      look_upwards(mount / controllers, path, smallest);
    }
  }
  return smallest;
}

std::optional<int64_t> wanted_processors(const char* omp_num_threads) {
  if (omp_num_threads == nullptr) return std::nullopt;
  const std::string text = omp_num_threads;
  const auto value = to_number(text.substr(0, text.find(',')));
  return value && *value > 0 ? value : std::nullopt;
}

int64_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int64_t count = std::max<int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN));
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) count = std::max(1, CPU_COUNT(&set));
  std::ifstream in("/proc/self/cgroup");
  std::ostringstream memberships;
  memberships << in.rdbuf();
  if (const auto granted = granted_processors(memberships.str(), "/sys/fs/cgroup"))
    count = std::min(count, *granted);
  if (const auto wanted = wanted_processors(std::getenv("OMP_NUM_THREADS"))) count = std::min(count, *wanted);
  return count;
}

int64_t most_threads() {
  constexpr int64_t kEach = 4, kAtLeast = 16;
  return std::max(kAtLeast, kEach * static_cast<int64_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace lotformer
