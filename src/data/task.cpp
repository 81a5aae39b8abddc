// SPDX-License-Identifier: MIT
#include "lotformer/data/task.h"

#include "data/tasks/image.h"
#include "data/tasks/listops.h"
#include "data/tasks/pathfinder.h"
#include "data/tasks/retrieval.h"
#include "data/tasks/text.h"
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
      {"listops", &open_listops},
      {"text", &open_text},
      {"retrieval", &open_retrieval},
      {"image", &open_image},
      {"pathfinder32", &open_pathfinder32},
      {"pathfinder64", &open_pathfinder64},
      {"pathfinder128", &open_pathfinder128},
      {"pathfinder256", &open_pathfinder256},
      {"pathx", &open_pathx},
  };
  return specs;
}

std::unique_ptr<Task> open_task(const std::string& name, const DataOptions& options) {
  std::vector<std::string> names;
  for (const TaskSpec& spec : task_specs()) {
    if (spec.name == name) return spec.open(options);
    names.emplace_back(spec.name);
  }
  const std::string near = nearest(name, names);
  throw Error(ErrorKind::usage, concat("task: there is no ", quoted(name), "; known: ", join(names, ", "),
                                       near.empty() ? "" : concat(" (did you mean ", near, "?)")));
}

}  // namespace lotformer::data
