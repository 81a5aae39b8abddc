// SPDX-License-Identifier: MIT
// Gathers what the user gave: base files, the file, --set. Nothing is merged, so every value keeps its place.
#pragma once

#include <string>
#include <vector>

#include "diagnostics.h"
#include "lotformer/core/json.h"
#include "node.h"

namespace lotformer::config {

/// Settings of equal strength, later roots first in rank: one root for a file, one for each --set.
struct Layer {
  std::vector<Node> roots;
};

/// `file` (may be empty) and the chain of its `base:` files, weakest first.
std::vector<Layer> file_layers(const std::string& file, Diagnostics& diagnostics);

/// All --set assignments as one layer; `a.b=value` becomes nested maps.
Layer assignment_layer(const std::vector<std::string>& assignments, Diagnostics& diagnostics);

/// A resolved configuration; errors are of kind checkpoint and name `where`.
Layer json_layer(const Json& json, const std::string& where, Diagnostics& diagnostics);

}  // namespace lotformer::config
