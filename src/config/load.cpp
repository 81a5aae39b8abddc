// SPDX-License-Identifier: MIT
#include "lotformer/config/load.h"

#include "layers.h"
#include "loading.h"

namespace lotformer {
namespace config {
namespace {

Loaded resolve_and_check(std::vector<Layer> layers, const AttentionKinds& kinds, Diagnostics diagnostics) {
  Resolved resolved = resolve(layers, kinds, diagnostics);
  validate(resolved, diagnostics);
  diagnostics.throw_if_any();
  return {std::move(diagnostics), std::move(resolved)};
}

}  // namespace

Loaded load(const ConfigRequest& request, const AttentionKinds& kinds) {
  Diagnostics diagnostics;
  std::vector<Layer> layers = file_layers(request.file, diagnostics);
  layers.push_back(assignment_layer(request.assignments, diagnostics));
  return resolve_and_check(std::move(layers), kinds, std::move(diagnostics));
}

}  // namespace config

Config load_config(const ConfigRequest& request, const AttentionKinds& kinds) {
  return config::load(request, kinds).resolved.config;
}

Config config_from_json(const Json& json, const std::vector<std::string>& assignments,
                        const AttentionKinds& kinds, const std::string& where) {
  config::Diagnostics diagnostics;
  std::vector<config::Layer> layers = {config::json_layer(json, where, diagnostics)};
  layers.push_back(config::assignment_layer(assignments, diagnostics));
  return config::resolve_and_check(std::move(layers), kinds, std::move(diagnostics)).resolved.config;
}

Config config_from_json(const Json& json, const AttentionKinds& kinds, const std::string& where) {
  return config_from_json(json, {}, kinds, where);
}

}  // namespace lotformer
