// SPDX-License-Identifier: MIT
// How many processors a program may keep busy, which is rarely how many the machine has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lotformer {

/// The smallest of the affinity mask, the quotas of the control groups (rounded up) and OMP_NUM_THREADS; at
/// least 1.
int64_t usable_processors();

/// The most threads that anybody can mean on this machine: four for each of its processors, at least 16.
int64_t most_threads();

/// Processors that the control groups grant: `memberships` is the text of /proc/self/cgroup, `mount` the
/// folder /sys/fs/cgroup. Version 2 (cpu.max) and 1 (cpu.cfs_quota_us), every group on the way up; nothing
/// where none has a limit.
std::optional<int64_t> granted_processors(const std::string& memberships, const std::filesystem::path& mount);

/// The first number of OMP_NUM_THREADS ("4,2"); nothing unless it is a positive number.
std::optional<int64_t> wanted_processors(const char* omp_num_threads);

}  // namespace lotformer
