// SPDX-License-Identifier: MIT
// Fixtures for tests of batches.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "lotformer/core/text.h"
#include "lotformer/data/task.h"

namespace lotformer::test {

/// A private copy of a fixture: its cache lies beside it.
class FixtureCopy {
 public:
  explicit FixtureCopy(const std::string& fixture) {
    path_ =
        std::filesystem::temp_directory_path() / concat("lotformer-loader-", ::getpid(), "-", ++count_, "-",
                                                        std::filesystem::path(fixture).filename().string());
    std::filesystem::remove_all(path_);
    std::filesystem::copy(std::filesystem::path(LOTFORMER_TEST_DATA) / "fixtures" / fixture, path_,
                          std::filesystem::copy_options::recursive);
  }
  ~FixtureCopy() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FixtureCopy(const FixtureCopy&) = delete;
  FixtureCopy& operator=(const FixtureCopy&) = delete;
  data::DataOptions options() const {
    data::DataOptions options;
    options.root = path_;
    const std::string name = path_.filename().string();
    options.strict_counts =
        name.find("cifar") == std::string::npos && name.find("curv_") == std::string::npos;
    return options;
  }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

inline std::vector<int64_t> all_rows(const data::Dataset& dataset) {
  std::vector<int64_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

}  // namespace lotformer::test
