// SPDX-License-Identifier: MIT
#include <algorithm>
#include <set>
#include <system_error>

#include "lotformer/core/text.h"
#include "lotformer/report/report.h"
#include "run.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 8;  // a sweep is four folders deep

/// Folders that were looked at, by where they really lie: links may lead to one twice, or in a circle.
using Seen = std::set<fs::path>;

void search(const fs::path& folder, int depth, Seen& seen, std::set<fs::path>& found,
            std::vector<std::string>& notes) {
  std::error_code unknown;
  const fs::path real = fs::canonical(folder, unknown);
  if (unknown || !seen.insert(real).second) return;
  if (is_run_folder(folder)) {
    found.insert(folder);
    return;
  }
  if (depth == kDeepest) return;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) notes.push_back(folder.string() + " cannot be read: " + error.message());
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    const fs::path path = entries->path();
    if (path.filename().string().starts_with('.')) continue;
    if (fs::is_directory(path, ignored)) search(path, depth + 1, seen, found, notes);
  }
}

}  // namespace

bool is_run_folder(const fs::path& folder) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return fs::is_regular_file(folder / name, ignored); };
  return has("run.json") || has("metrics.jsonl") || (has("config.yaml") && has("results.json"));
}

std::vector<fs::path> find_runs(const std::vector<fs::path>& places, std::vector<std::string>& notes) {
  std::set<fs::path> found;
  Seen seen;
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (!fs::is_directory(place, ignored))
      throw NothingYet(place.string() + " is no folder; name run folders, or folders that hold them");
    const size_t before = found.size();
    search(place.lexically_normal(), 0, seen, found, notes);
    if (found.size() == before && !is_run_folder(place))
      notes.push_back(place.string() + " holds no run (no run.json and no metrics.jsonl below it)");
  }
  return {found.begin(), found.end()};
}

}  // namespace lotformer::report
