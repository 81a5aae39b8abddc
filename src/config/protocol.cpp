// SPDX-License-Identifier: MIT
#include "protocol.h"

#include <algorithm>

namespace lotformer::config {
namespace {

/// Path-X is the name of Pathfinder 128 in the paper; the published settings know the task by its size.
std::string_view size_name(std::string_view task) {
  return task == "pathx" ? std::string_view("pathfinder128") : task;
}

}  // namespace

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol* protocol : {&lotformer_protocol(), &lra_protocol(), &skyformer_protocol()}) {
    if (protocol->name == name) return protocol;
  }
  return nullptr;
}

std::optional<std::string_view> published_value(const Protocol& protocol, std::string_view task,
                                                std::string_view kind, std::string_view path) {
  for (const Setting& row : protocol.settings) {
    const bool fits =
        (row.task.empty() || row.task == size_name(task)) && (row.kind.empty() || row.kind == kind);
    if (fits && row.path == path) return row.value;
  }
  return std::nullopt;
}

std::vector<std::string> covered_tasks(const Protocol& protocol) {
  std::vector<std::string> tasks(protocol.tasks.begin(), protocol.tasks.end());
  if (!tasks.empty()) return tasks;
  for (const Setting& row : protocol.settings) {
    const bool known = std::find(tasks.begin(), tasks.end(), row.task) != tasks.end();
    if (!row.task.empty() && !known) tasks.emplace_back(row.task);
  }
  return tasks;
}

bool covers(const Protocol& protocol, std::string_view task) {
  const std::vector<std::string> tasks = covered_tasks(protocol);
  const auto has = [&](std::string_view name) {
    return std::find(tasks.begin(), tasks.end(), name) != tasks.end();
  };
  return has(task) || (protocol.tasks.empty() && has(size_name(task)));
}

}  // namespace lotformer::config
