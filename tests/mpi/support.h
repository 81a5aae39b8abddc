// SPDX-License-Identifier: MIT
// One run on several processes of this machine.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cli/support.h"

namespace lotformer::test {

using Settings = std::vector<std::string>;

/// `lotformer-train` on the small data, one thread a process, a line of metrics a step.
std::vector<std::string> train_arguments(const std::filesystem::path& run, const Settings& settings = {},
                                         const std::vector<std::string>& more = {});
Command one_process(const std::filesystem::path& run, const Settings& settings = {});
/// Through `mpirun`; more processes than processors are no error.
Command processes(int count, const std::filesystem::path& run, const Settings& settings = {},
                  const std::vector<std::string>& more = {});
/// The arguments of mpirun before those of the program: COUNT processes, and some seconds between the signals
/// that it sends to them when one has ended.
std::vector<std::string> launcher_arguments(int count);
/// mpirun with these arguments.
Command launcher(std::vector<std::string> arguments);

/// Of the lines of training in metrics.jsonl: step, and the number of that name.
std::vector<double> numbers_of(const std::filesystem::path& run, const std::string& split,
                               const std::string& name);

/// Processes of lotformer-train that train into that run folder, by rank.
std::vector<pid_t> ranks_of(const std::filesystem::path& run);

}  // namespace lotformer::test
