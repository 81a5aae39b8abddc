// SPDX-License-Identifier: MIT
#include "cli/support.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace lotformer::test {
namespace fs = std::filesystem;

const fs::path& small_listops() {
  static const TemporaryFolder folder;
  static const fs::path root = [] {
    const Finished made =
        run({.program = "lotformer-data",
             .arguments = {"generate", "--task", "listops", "--root", folder.path().string(), "--train",
                           "400", "--val", "60", "--test", "50", "--min-length", "5", "--max-length", "100",
                           "--max-depth", "3", "--max-args", "4"}});
    if (made.exit_code != 0) throw std::runtime_error("lotformer-data generate failed: " + made.err);
    return folder.path();
  }();
  return root;
}

Command train_command(const fs::path& run_folder, const std::vector<std::string>& more) {
  Command command{
      .program = "lotformer-train",
      .arguments = {"--config", LOTFORMER_TEST_DATA "/configs/tiny.yaml", "--device", "cpu", "--run-dir",
                    run_folder.string(), "--set", "data.root=" + small_listops().string()}};
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  return command;
}

Command eval_command(const fs::path& path, const std::vector<std::string>& more) {
  Command command{.program = "lotformer-eval", .arguments = {path.string(), "--device", "cpu", "--json"}};
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  return command;
}

fs::path newest_checkpoint(const fs::path& run_folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(run_folder / "checkpoints")) {
    if (entry.path().filename().string().rfind("step-", 0) == 0) found.push_back(entry.path());
  }
  if (found.empty()) throw std::runtime_error("no checkpoint in " + run_folder.string());
  return *std::max_element(found.begin(), found.end());
}

std::map<std::string, std::string> run_bytes(const fs::path& run_folder) {
  std::map<std::string, std::string> bytes;
  const fs::path checkpoint = newest_checkpoint(run_folder);
  bytes["checkpoint name"] = checkpoint.filename().string();
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"})
    bytes[name] = slurp(checkpoint / name);
  bytes["metrics.jsonl"] = slurp(run_folder / "metrics.jsonl");
  return bytes;
}

std::vector<Json> read_lines(const fs::path& path) {
  std::istringstream in(slurp(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

bool is_one_line(const std::string& text) {
  return !text.empty() && text.back() == '\n' && std::count(text.begin(), text.end(), '\n') == 1;
}

}  // namespace lotformer::test
