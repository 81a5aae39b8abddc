// SPDX-License-Identifier: MIT
// Layers to a typed Config: the strongest layer that has a key wins; every error of every layer is collected.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "diagnostics.h"
#include "layers.h"
#include "lotformer/config/config.h"

namespace lotformer::config {

/// Where the value of a key came from.
struct Origin {
  enum class Kind { unset, protocol, given };
  Kind kind = Kind::unset;
  /// Of the value when given.
  Place place;
};

struct Resolved {
  Config config;
  /// By full key, every key of the configuration.
  std::map<std::string, Origin> origins;
  /// Full keys whose given value was refused.
  std::set<std::string> invalid;
};

/// Layers weakest first. Errors go to `diagnostics`; the result is then not to be used.
Resolved resolve(const std::vector<Layer>& layers, const Kinds& kinds, Diagnostics& diagnostics);

/// Rules that concern several keys, with the mark of the later one. Resolves model.head_dim.
void validate(Resolved& resolved, const TaskKinds& tasks, Diagnostics& diagnostics);

}  // namespace lotformer::config
