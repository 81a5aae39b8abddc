// SPDX-License-Identifier: MIT
// What the attention of a model's layers can do beside attending (include/lotformer/attention/capabilities).
#pragma once

#include <vector>

#include "lotformer/model/encoder.h"

namespace lotformer {

/// The attention of each layer as a `Capability` (HasPlans, HasSolver, AdaptiveRank); nullptr where the
/// module is none.
template <class Capability>
std::vector<Capability*> layers_as(const EncoderImpl& encoder) {
  std::vector<Capability*> found;
  for (const auto& layer : encoder.layers()) found.push_back(dynamic_cast<Capability*>(&layer->attention()));
  return found;
}

}  // namespace lotformer
