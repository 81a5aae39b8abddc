// SPDX-License-Identifier: MIT
#include "mpi/support.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace lotformer::test {
namespace fs = std::filesystem;

std::vector<std::string> train_arguments(const fs::path& run_folder, const Settings& settings,
                                         const std::vector<std::string>& more) {
  std::vector<std::string> arguments = train_command(run_folder).arguments;
  for (const char* setting : {"train.log_every=1", "model.dropout=0", "train.threads=1"})
    arguments.insert(arguments.end(), {"--set", setting});
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Command one_process(const fs::path& run_folder, const Settings& settings) {
  return {.program = "lotformer-train", .arguments = train_arguments(run_folder, settings)};
}

std::vector<std::string> launcher_arguments(int count) {
  return {"--oversubscribe",           "--bind-to", "none", "--mca",
          "odls_base_sigkill_timeout", "5",         "-n",   std::to_string(count)};
}

Command launcher(std::vector<std::string> arguments) {
  return {.program = LOTFORMER_MPIEXEC,
          .arguments = std::move(arguments),
          // Tests run as root in containers, where nothing is at stake.
          .environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}}};
}

Command processes(int count, const fs::path& run_folder, const Settings& settings,
                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = launcher_arguments(count);
  arguments.push_back(LOTFORMER_BIN_DIR "/lotformer-train");
  for (std::string& word : train_arguments(run_folder, settings, more)) arguments.push_back(std::move(word));
  return launcher(std::move(arguments));
}

std::vector<double> numbers_of(const fs::path& run_folder, const std::string& split,
                               const std::string& name) {
  std::vector<double> numbers;
  for (const Json& line : read_lines(run_folder / "metrics.jsonl")) {
    if (line.at("split") == split) numbers.push_back(line.at(name).get<double>());
  }
  return numbers;
}

std::vector<pid_t> ranks_of(const fs::path& run_folder) {
  std::map<int, pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string words = slurp(entry.path() / "cmdline");
    const std::string program = words.substr(0, words.find('\0'));
    if (fs::path(program).filename() != "lotformer-train" ||
        words.find(run_folder.string() + std::string(1, '\0')) == std::string::npos)
      continue;
    const std::string environment = slurp(entry.path() / "environ");
    const std::string key = "OMPI_COMM_WORLD_RANK=";
    if (const size_t place = environment.find(key); place != std::string::npos)
      found[std::atoi(environment.c_str() + place + key.size())] = static_cast<pid_t>(std::stoi(name));
  }
  std::vector<pid_t> ranks;
  for (const auto& [rank, process] : found) ranks.push_back(process);
  return ranks;
}

}  // namespace lotformer::test
