// SPDX-License-Identifier: MIT
#include "data/tasks/listops_files.h"

namespace lotformer::data::listops {
namespace fs = std::filesystem;

std::vector<fs::path> candidate_directories(const fs::path& root) {
  std::vector<fs::path> result;
  for (const char* name : {kDirectoryName, "listops"}) {
    result.push_back(root / name);
    result.push_back(root / "lra_release" / name);
    result.push_back(root / "lra_release" / "lra_release" / name);
  }
  result.push_back(root);
  return result;
}

fs::path find_directory(const fs::path& root) {
  fs::path partial;
  for (const fs::path& candidate : candidate_directories(root)) {
    const size_t missing = missing_files(candidate).size();
    if (missing == 0) return candidate;
    if (missing < kFileNames.size() && partial.empty()) partial = candidate;
  }
  return partial;
}

std::vector<std::string> missing_files(const fs::path& directory) {
  std::vector<std::string> result;
  for (const char* name : kFileNames) {
    std::error_code code;
    if (!fs::exists(directory / name, code)) result.emplace_back(name);
  }
  return result;
}

std::string message_prefix(const fs::path& root, const fs::path& directory) {
  const fs::path relative = directory.lexically_relative(root);
  return relative.empty() || relative == "." ? "" : relative.string() + "/";
}

}  // namespace lotformer::data::listops
