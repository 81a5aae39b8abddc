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
  Place place;  ///< of the value when given
};

struct Resolved {
  Config config;
  std::map<std::string, Origin> origins;  ///< by full key, every key of the configuration
  std::set<std::string> invalid;          ///< full keys whose given value was refused
};

/// Layers weakest first. Errors go to `diagnostics`; the result is then not to be used.
Resolved resolve(const std::vector<Layer>& layers, const Kinds& kinds, Diagnostics& diagnostics);

/// Rules that concern several keys, with the mark of the later one. Resolves model.head_dim.
void validate(Resolved& resolved, const TaskKinds& tasks, Diagnostics& diagnostics);

}  // namespace lotformer::config
