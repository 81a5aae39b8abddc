// SPDX-License-Identifier: MIT
#include "data/tasks/layout.h"

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;

std::vector<fs::path> candidate_directories(const fs::path& root, const Layout& layout) {
  std::vector<fs::path> result;
  for (const std::string& name : layout.names) {
    result.push_back(root / name);
    result.push_back(root / "lra_release" / name);
    result.push_back(root / "lra_release" / "lra_release" / name);
  }
  result.push_back(root);
  return result;
}

std::vector<std::string> missing_entries(const fs::path& directory, const Layout& layout) {
  std::vector<std::string> result;
  for (const std::string& entry : layout.required) {
    std::error_code code;
    const fs::file_type type = fs::status(directory / entry, code).type();
    // What cannot be looked at is not missing: it must not be made anew.
    if (type == fs::file_type::none)
      throw DataError::at_file((directory / entry).string(), "cannot be read: " + code.message());
    if (type == fs::file_type::not_found) result.push_back(entry);
  }
  return result;
}

fs::path find_directory(const fs::path& root, const Layout& layout) {
  fs::path partial;
  for (const fs::path& candidate : candidate_directories(root, layout)) {
    const size_t missing = missing_entries(candidate, layout).size();
    if (missing == 0) return candidate;
    if (missing < layout.required.size() && partial.empty()) partial = candidate;
  }
  return partial;
}

fs::path require_directory(const fs::path& root, const Layout& layout, const std::string& advice) {
  const fs::path found = find_directory(root, layout);
  if (found.empty()) {
    std::vector<std::string> looked;
    for (const fs::path& candidate : candidate_directories(root, layout))
      looked.push_back(candidate.string());
    throw DataError::at_file(
        concat(layout.names.empty() ? "" : layout.names.front() + "/", layout.required.front()),
        concat("not found; looked in ", join(looked, ", "), "; ", advice));
  }
  if (const auto missing = missing_entries(found, layout); !missing.empty()) {
    throw DataError::at_file(message_prefix(root, found) + missing.front(),
                             concat("not found in ", fs::absolute(found).lexically_normal().string(),
                                    ", which holds other files of this task; ", advice));
  }
  return found;
}

std::string message_prefix(const fs::path& root, const fs::path& directory) {
  const fs::path relative = directory.lexically_relative(root);
  return relative.empty() || relative == "." ? "" : relative.string() + "/";
}

}  // namespace lotformer::data
