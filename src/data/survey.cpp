// SPDX-License-Identifier: MIT
#include "lotformer/data/survey.h"

#include "data/cache.h"
#include "lotformer/data/task.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

void count_caches(FoundSet& set) {
  for (const fs::path& place : cache_places(set.folder)) {
    std::error_code code;
    if (fs::is_symlink(place, code)) continue;
    for (fs::directory_iterator it(place, code), end; !code && it != end; it.increment(code)) {
      if (it->path().extension() != ".cache" || !it->is_regular_file(code)) continue;
      ++set.caches;
      set.cache_bytes += static_cast<int64_t>(it->file_size(code));
    }
  }
}

FoundSet look_for(const TaskSpec& spec, const fs::path& root) {
  FoundSet set;
  set.task = spec.name;
  DataOptions options;
  options.root = root.string();
  try {
    const std::unique_ptr<Task> task = open_task(spec, options);
    set.state = FoundSet::State::found;
    set.origin = task->data_origin();
    set.folder = task->folder();
    count_caches(set);
  } catch (const DataError& error) {
    // A reader that finds no file of a task says where it has looked.
    const bool missing = error.reason().rfind("not found; looked in ", 0) == 0;
    if (!missing) set.state = FoundSet::State::damaged;
    set.problem = error.what();
  }
  return set;
}

}  // namespace

std::vector<FoundSet> survey(const fs::path& root) {
  std::vector<FoundSet> sets;
  for (const TaskSpec& spec : task_specs()) sets.push_back(look_for(spec, root));
  return sets;
}

}  // namespace lotformer::data
