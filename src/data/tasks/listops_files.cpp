// SPDX-License-Identifier: MIT
#include "data/tasks/listops_files.h"

#include "data/tasks/layout.h"

namespace lotformer::data::listops {
namespace fs = std::filesystem;

namespace {

Layout layout() {
  return {{kDirectoryName, "listops"}, {kFileNames.begin(), kFileNames.end()}};
}

}  // namespace

std::vector<fs::path> candidate_directories(const fs::path& root) {
  return data::candidate_directories(root, layout());
}

fs::path find_directory(const fs::path& root) {
  return data::find_directory(root, layout());
}

std::vector<std::string> missing_files(const fs::path& directory) {
  return missing_entries(directory, layout());
}

}  // namespace lotformer::data::listops
