// SPDX-License-Identifier: MIT
// Small data and small runs for the tests of the executables.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lotformer/core/json.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::test {

/// Generated ListOps of depth 3, at most 4 arguments: 400/60/50 rows, made once a process.
const std::filesystem::path& small_listops();

/// `lotformer-train` with tests/data/configs/tiny.yaml on the small data.
Command train_command(const std::filesystem::path& run, const std::vector<std::string>& more = {});
Command eval_command(const std::filesystem::path& path, const std::vector<std::string>& more = {});

/// Runs it and demands the exit code.
inline Finished must_run(const Command& command, int exit_code = 0) {
  Finished done = run(command);
  INFO(done.err);
  REQUIRE(done.exit_code == exit_code);
  return done;
}

/// The newest checkpoint's folder.
std::filesystem::path newest_checkpoint(const std::filesystem::path& run);

/// Content of what "the same bytes" means: weights, optimiser and state of the newest checkpoint,
/// metrics.jsonl. By file name.
std::map<std::string, std::string> run_bytes(const std::filesystem::path& run);

/// Lines of a .jsonl file.
std::vector<Json> read_lines(const std::filesystem::path& path);

/// True when `text` is one line that ends with a newline.
bool is_one_line(const std::string& text);

/// Whether the condition holds before the process has ended.
template <class Condition>
bool wait_until(Process& process, const Condition& condition) {
  while (process.running()) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

/// Changes the lowest bit of one byte.
inline void flip_byte(const std::filesystem::path& path, int64_t place) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(place);
  const char byte = static_cast<char>(file.get());
  file.seekp(place);
  file.put(static_cast<char>(byte ^ 1));
}

}  // namespace lotformer::test
