// SPDX-License-Identifier: MIT
// Helpers of the tests of synthetic data.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "../support.h"
#include "lotformer/core/hash.h"
#include "lotformer/data/synthetic_generator.h"

namespace lotformer::data::test {

/// Digest of all files below `directory`: names and contents, in the order of the names.
inline std::string tree_digest(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Hasher hasher;
  for (const fs::path& file : files) {
    hasher.update(file.lexically_relative(directory).string());
    hasher.update(read_text(file));
  }
  return hasher.digest();
}

}  // namespace lotformer::data::test
