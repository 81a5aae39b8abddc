// SPDX-License-Identifier: MIT
#include "lotformer/config/load.h"

#include <algorithm>
#include <array>

#include "layers.h"
#include "loading.h"

namespace lotformer {
namespace config {
namespace {

Loaded resolve_and_check(std::vector<Layer> layers, const Kinds& kinds, Diagnostics diagnostics) {
  Resolved resolved = resolve(layers, kinds, diagnostics);
  validate(resolved, kinds.tasks, diagnostics);
  diagnostics.throw_if_any();
  return {std::move(diagnostics), std::move(resolved)};
}

/// Stands for every attention module where none matters.
struct NoOptions final : Options {
  void visit(FieldVisitor&) override {}
};

/// Drops the sections of a file that have nothing to do with data.
void keep_data_sections(Node& root) {
  constexpr std::array<std::string_view, 4> kKept = {"base", "task", "protocol", "data"};
  if (!root.entries) return;
  auto kept = std::make_shared<std::vector<Entry>>();
  for (const Entry& entry : *root.entries) {
    if (std::find(kKept.begin(), kKept.end(), entry.key) != kKept.end()) kept->push_back(entry);
  }
  root.entries = std::move(kept);
}

}  // namespace

Loaded load(const ConfigRequest& request, const Kinds& kinds) {
  Diagnostics diagnostics;
  std::vector<Layer> layers = file_layers(request.file, diagnostics);
  layers.push_back(assignment_layer(request.assignments, diagnostics));
  return resolve_and_check(std::move(layers), kinds, std::move(diagnostics));
}

}  // namespace config

Config load_config(const ConfigRequest& request, const Kinds& kinds) {
  return config::load(request, kinds).resolved.config;
}

Config load_data_config(const ConfigRequest& request, const TaskKinds& tasks) {
  config::Diagnostics diagnostics;
  std::vector<config::Layer> layers = config::file_layers(request.file, diagnostics);
  for (config::Layer& layer : layers) {
    for (config::Node& root : layer.roots) config::keep_data_sections(root);
  }
  layers.push_back(config::assignment_layer(request.assignments, diagnostics));
  const Kinds kinds = {
      {{Config{}.attention_kind}, [](const std::string&) { return std::make_unique<config::NoOptions>(); }},
      tasks};
  return config::resolve_and_check(std::move(layers), kinds, std::move(diagnostics)).resolved.config;
}

Config config_from_json(const Json& json, const std::vector<std::string>& assignments, const Kinds& kinds,
                        const std::string& where) {
  config::Diagnostics diagnostics;
  std::vector<config::Layer> layers = {config::json_layer(json, where, diagnostics)};
  layers.push_back(config::assignment_layer(assignments, diagnostics));
  return config::resolve_and_check(std::move(layers), kinds, std::move(diagnostics)).resolved.config;
}

Config config_from_json(const Json& json, const Kinds& kinds, const std::string& where) {
  return config_from_json(json, {}, kinds, where);
}

}  // namespace lotformer
