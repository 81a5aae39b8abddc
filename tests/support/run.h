// SPDX-License-Identifier: MIT
// Runs the real executables: exit code, stdout and stderr apart, signals, limits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace lotformer::test {

/// A folder of its own below the system's temporary folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Command {
  /// Name in the build's bin folder, for instance "lotformer-train".
  std::string program;
  std::vector<std::string> arguments = {};
  /// Working directory; empty: the caller's.
  std::filesystem::path directory = {};
  /// Added to the caller's.
  std::vector<std::pair<std::string, std::string>> environment = {};
  /// Where stdout goes; empty: captured.
  std::filesystem::path stdout_path = {};
  /// Bytes (RLIMIT_FSIZE); 0: none.
  int64_t file_size_limit = 0;
  /// Bytes of address space (RLIMIT_AS); 0: none.
  int64_t memory_limit = 0;
  /// A process group of its own: signals reach its children too.
  bool group = false;
};

struct Finished {
  /// 128 + signal when killed.
  int exit_code = -1;
  std::string out, err;
};

/// A running program; its output goes to files.
class Process {
 public:
  explicit Process(const Command& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number);
  bool running();
  /// What it has written to stderr so far.
  std::string err_so_far() const;
  Finished wait();

 private:
  TemporaryFolder output_;
  pid_t pid_ = -1;
  bool group_ = false;
  int status_ = 0;
  bool reaped_ = false;
};

Finished run(const Command& command);

/// Whole file, "" when it is not there.
std::string slurp(const std::filesystem::path& path);

}  // namespace lotformer::test
