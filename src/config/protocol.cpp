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

bool covers(const Protocol& protocol, std::string_view task) {
  return protocol.tasks.empty() ||
         std::find(protocol.tasks.begin(), protocol.tasks.end(), task) != protocol.tasks.end();
}

}  // namespace lotformer::config
