// SPDX-License-Identifier: MIT
#include "lotformer/data/task.h"

#include <algorithm>

#include "data/tasks/custom.h"
#include "data/tasks/image.h"
#include "data/tasks/listops.h"
#include "data/tasks/pathfinder.h"
#include "data/tasks/retrieval.h"
#include "data/tasks/text.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

std::string_view to_string(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::val:
      return "val";
    case Split::test:
      return "test";
  }
  return "?";
}

std::vector<std::string> Task::metrics() const {
  std::vector<std::string> names = {"accuracy", "loss", "recall by class"};
  for (const Attribute& attribute : attributes()) names.push_back("accuracy by " + attribute.name);
  return names;
}

const std::vector<TaskSpec>& task_specs() {
  static const std::vector<TaskSpec> specs = {
      listops_spec(),      text_spec(),          retrieval_spec(),     image_spec(), pathfinder32_spec(),
      pathfinder64_spec(), pathfinder128_spec(), pathfinder256_spec(), pathx_spec(), custom_spec(),
  };
  return specs;
}

const TaskSpec& find_task(const std::string& name) {
  std::vector<std::string> names;
  for (const TaskSpec& spec : task_specs()) {
    if (spec.name == name) return spec;
    names.emplace_back(spec.name);
  }
  throw Error(ErrorKind::usage, concat("task: there is no ", quoted(name), "; known: ", join(names, ", "),
                                       did_you_mean(name, names)));
}

TaskKinds task_kinds() {
  TaskKinds kinds;
  for (const TaskSpec& spec : task_specs()) kinds.names.emplace_back(spec.name);
  kinds.conflicts = [](const std::string& task, const DataOptions& options) {
    return option_conflicts(find_task(task), options);
  };
  return kinds;
}

std::unique_ptr<Task> open_task(const TaskSpec& task, const DataOptions& options) {
  for (const Conflict& conflict : option_conflicts(task, options))
    throw Error(ErrorKind::usage, concat(conflict.keys.front(), ": ", conflict.message));
  return task.open(options);
}

std::unique_ptr<Task> open_task(const std::string& name, const DataOptions& options) {
  return open_task(find_task(name), options);
}

}  // namespace lotformer::data
