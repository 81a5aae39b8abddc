// SPDX-License-Identifier: MIT
// Helpers of the data tests: a folder that goes away, small ListOps files, log lines, the message of an
// Error.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "lotformer/data/listops_generator.h"
#include "lotformer/data/task.h"

namespace lotformer::data::test {
namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ = fs::temp_directory_path() / concat("lotformer-test-", ::getpid(), "-", count++);
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const fs::path& path) {
  return read_file(path, ErrorKind::data);
}

inline DataOptions options_at(const fs::path& root) {
  DataOptions options;
  options.root = root;
  return options;
}

/// Of small sets: splits of any number of rows.
inline DataOptions options_of_any_count(const fs::path& root) {
  DataOptions options = options_at(root);
  options.strict_counts = false;
  return options;
}

/// Two rows that are right; every split of small_listops().
inline const std::string kTwoRows = "Source\tTarget\n( ( ( [MAX 3 ) 4 ) ] )\t4\n( ( ( [SM 7 ) 5 ) ] )\t2\n";

inline void small_listops(const fs::path& directory, const std::string& train = kTwoRows) {
  write_text(directory / "basic_train.tsv", train);
  write_text(directory / "basic_val.tsv", kTwoRows);
  write_text(directory / "basic_test.tsv", kTwoRows);
}

inline std::vector<int> ids(const Dataset& dataset, int64_t row) {
  const auto bytes = dataset.bytes(row);
  return {bytes.begin(), bytes.end()};
}

/// A small set that is made in no time.
inline ListopsParameters small_parameters() {
  ListopsParameters p;
  p.train = 300;
  p.val = 40;
  p.test = 50;
  p.min_length = 5;
  p.max_length = 60;
  p.max_depth = 4;
  p.max_args = 4;
  return p;
}

/// Collects log messages while it lives.
class LogObserver {
 public:
  LogObserver() {
    log::set_observer([this](log::Level, std::string_view text) { text_ += std::string(text) + "\n"; });
  }
  ~LogObserver() { log::set_observer({}); }
  LogObserver(const LogObserver&) = delete;
  LogObserver& operator=(const LogObserver&) = delete;
  bool has(const std::string& piece) const { return text_.find(piece) != std::string::npos; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// "KIND: message" of the Error that `body` throws, or "no error".
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return concat(error.exit_code(), ": ", error.what());
  }
  return "no error";
}

inline bool contains(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

}  // namespace lotformer::data::test
