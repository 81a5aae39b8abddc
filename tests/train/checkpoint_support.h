// SPDX-License-Identifier: MIT
// What the tests of checkpoints and run folders share. Torch before Catch2.
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "support/catch.h"
#include "train/run/checkpoint.h"

namespace lotformer::test {

/// A folder below the system's temporary one, empty at the start and removed at the end.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / concat("lotformer_", name, "_", ::getpid())) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Collects warnings while it lives and keeps everything else quiet.
class Warnings {
 public:
  Warnings() {
    log::set_observer([this](log::Level level, std::string_view text) {
      if (level == log::Level::warning) list.emplace_back(text);
    });
  }
  ~Warnings() { log::set_observer({}); }
  std::vector<std::string> list;
};

/// Message of the Error of that kind that `action` throws; fails the test when there is none.
inline std::string message_of(ErrorKind kind, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.exit_code() == static_cast<int>(kind));
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.what();
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// What a checkpoint records of the best one.
inline Json best_at(int64_t step) {
  return {{"step", step}, {"accuracy", 0.5}};
}

/// A small checkpoint whose every value says its step.
inline void write_step(const std::filesystem::path& folder, int64_t step, const Json& best = nullptr,
                       int64_t elements = 8) {
  const at::Tensor weight =
      at::full({elements}, static_cast<double>(step), at::TensorOptions().dtype(at::kFloat));
  const at::Tensor moment =
      at::full({elements}, static_cast<double>(step) / 2, at::TensorOptions().dtype(at::kFloat));
  write_checkpoint(folder, {{"weight", weight}}, {{"weight.first", moment}},
                   {{"step", step}, {"best", best}});
}

/// Changes one bit in place; no fsync, the caller does this thousands of times.
inline void flip_bit(const std::filesystem::path& path, size_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const char byte = static_cast<char>(file.get() ^ (1 << (bit % 8)));
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(byte);
  if (!file.flush()) FAIL(path.string() + ": cannot be changed");
}

/// Exit code of `action` in a child process under a limit (setrlimit).
inline int exit_code_with_limit(int resource, rlim_t value, const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {value, value};
    int code = 1;
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0) {
      try {
        action();
        code = 0;
      } catch (const Error& error) {
        code = error.exit_code();
      } catch (...) {
        code = 2;
      }
    }
    ::_exit(code);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// The same where files may not grow beyond `bytes`.
inline int exit_code_with_file_limit(rlim_t bytes, const std::function<void()>& action) {
  return exit_code_with_limit(RLIMIT_FSIZE, bytes, action);
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace lotformer::test
