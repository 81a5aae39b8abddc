// SPDX-License-Identifier: MIT
#include "file_search.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "diagnostics.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"

namespace lotformer::config {
namespace fs = std::filesystem;
namespace {

constexpr int kMaxListed = 1000;  // entries of a config folder that are considered for "did you mean"

std::vector<fs::path> search_folders() {
  std::vector<fs::path> folders;
  if (const fs::path shipped = config_directory(); !shipped.empty()) folders.push_back(shipped);
  const char* variable = std::getenv("LOTFORMER_CONFIG_DIR");
  if (variable != nullptr && *variable != '\0') folders.emplace_back(variable);
  return folders;
}

/// Names of the YAML files below the search folders, as --config takes them.
std::vector<std::string> known_names(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders) {
    std::error_code code;
    fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, code);
    for (int count = 0; !code && it != fs::recursive_directory_iterator() && count < kMaxListed; ++count) {
      if (it->path().extension() == ".yaml")
        names.push_back(it->path().lexically_relative(folder).generic_string());
      it.increment(code);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// "; did you mean 'x'?": the known name that ends as `name` does but for the ending ("listops" for
/// lra/listops.yaml; the least nested one), else the one of fewest changes.
std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  const fs::path stem = fs::path(name).stem();
  std::string best;
  for (const std::string& candidate : known) {
    if (fs::path(candidate).stem() == stem && (best.empty() || candidate.size() < best.size()))
      best = candidate;
  }
  return best.empty() || best == name ? did_you_mean(name, known) : "; did you mean '" + best + "'?";
}

}  // namespace

std::string display_path(const fs::path& path) {
  std::error_code code;
  const fs::path here = fs::current_path(code);
  const fs::path normal = path.lexically_normal();
  if (code || normal.is_relative()) return normal.string();
  const fs::path relative = normal.lexically_relative(here);
  return relative.empty() || *relative.begin() == ".." ? normal.string() : relative.string();
}

FoundFile find_config_file(const std::string& name, const fs::path& including_folder) {
  std::vector<fs::path> candidates;
  const auto add = [&candidates](const fs::path& path) {
    const fs::path normal = path.lexically_normal();
    if (std::find(candidates.begin(), candidates.end(), normal) == candidates.end())
      candidates.push_back(normal);
  };
  const std::vector<fs::path> folders = search_folders();
  if (fs::path(name).is_absolute()) {
    add(name);
  } else {
    if (!including_folder.empty()) add(including_folder / name);
    add(name);
    for (const fs::path& folder : folders) add(folder / name);
  }
  std::vector<std::string> looked;
  std::string found_other;
  for (const fs::path& candidate : candidates) {
    std::error_code code;
    const fs::file_status status = fs::status(candidate, code);
    if (fs::is_regular_file(status)) return {candidate, ""};
    if (found_other.empty() && fs::exists(status)) {
      const char* kind = fs::is_directory(status) ? " is a folder" : " is not a regular file";
      found_other = display_path(candidate) + kind + "; name a YAML file";
    }
    looked.push_back(display_path(candidate));
  }
  if (!found_other.empty()) return {{}, found_other};
  std::string problem = "file not found; looked for " + join(looked, ", ");
  const char* variable = std::getenv("LOTFORMER_CONFIG_DIR");
  if (variable == nullptr || *variable == '\0') problem += " ($LOTFORMER_CONFIG_DIR is not set)";
  return {{}, problem + suggestion(name, known_names(folders))};
}

}  // namespace lotformer::config
