// SPDX-License-Identifier: MIT
#include "resolve.h"

#include <algorithm>
#include <optional>

#include "scalar.h"
#include "schema.h"
#include "section_reader.h"

namespace lotformer::config {
namespace {

/// Full keys of the schema, with the options of every kind.
class KeyCollector final : public SectionVisitor {
 public:
  void field(const FieldInfo& info, bool&) override { add(info); }
  void field(const FieldInfo& info, int64_t&) override { add(info); }
  void field(const FieldInfo& info, double&) override { add(info); }
  void field(const FieldInfo& info, std::string&) override { add(info); }
  void begin_section(const std::string& name) override { path_ += name + "."; }
  void end_section() override { path_.erase(path_.find_last_of('.', path_.size() - 2) + 1); }

  std::vector<std::string> keys;

 private:
  void add(const FieldInfo& info) {
    std::string key = path_ + std::string(info.key);
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
  }
  std::string path_;
};

std::vector<std::string> all_keys(const Kinds& kinds) {
  KeyCollector collector;
  for (const std::string& kind : kinds.attention.names) {
    Config config;
    config.attention = kinds.attention.make(kind);
    visit_config(config, kinds, collector);
  }
  return collector.keys;
}

/// The kind that a layer names, when it names a known one.
std::optional<std::string> kind_in_layer(const SectionMaps& maps, int layer,
                                         const std::vector<std::string>& names) {
  std::optional<std::string> kind;
  for (const SectionMap& section : maps) {
    if (section.layer != layer) continue;
    for (const Entry& entry : *section.map->entries) {
      const bool known = std::find(names.begin(), names.end(), entry.value.text) != names.end();
      if (entry.key == "kind" && known) kind = entry.value.text;
    }
  }
  return kind;
}

/// Drops the maps of the layers below the last one that changed the kind: their options belong to another
/// module.
SectionMaps visible_maps(const SectionMaps& maps, std::string kind, const std::vector<std::string>& names) {
  int first_visible = 0;
  for (const SectionMap& section : maps) {
    const auto named = kind_in_layer(maps, section.layer, names);
    if (named && *named != kind) {
      kind = *named;
      first_visible = section.layer;
    }
  }
  SectionMaps visible;
  for (const SectionMap& section : maps) {
    if (section.layer >= first_visible) visible.push_back(section);
  }
  return visible;
}

/// Reads one key and passes over the rest: the kind has to be known before its options can be read, and
/// before the model's shape, which a protocol may give by kind.
void read_kind(const SectionMaps& maps, const Kinds& kinds, ReadContext& context) {
  SectionReader reader("model.attention", maps, context);
  visit_kind(context.resolved.config.attention_kind, kinds.attention.names, reader);
}

void read_attention(const SectionMaps& maps, const Kinds& kinds, ReadContext& context) {
  Config& config = context.resolved.config;
  if (context.resolved.invalid.count("model.attention.kind") != 0)
    return;  // whose options they are is unknown
  SectionReader reader("model.attention", visible_maps(maps, Config{}.attention_kind, kinds.attention.names),
                       context);
  reader.expect("kind");
  config.attention = kinds.attention.make(config.attention_kind);
  config.attention->visit(reader);
  reader.finish("kind " + config.attention_kind);
}

void read_section(SectionReader& top, const std::string& name, Options& options, ReadContext& context) {
  SectionReader reader(name, top.subsection(name), context);
  options.visit(reader);
  reader.finish("section " + name);
}

}  // namespace

Resolved resolve(const std::vector<Layer>& layers, const Kinds& kinds, Diagnostics& diagnostics) {
  Resolved resolved;
  ReadContext context{resolved, diagnostics, all_keys(kinds)};
  SectionMaps roots;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const Node& root : layers[i].roots) roots.push_back({&root, static_cast<int>(i)});
  }
  SectionReader top("", roots, context);
  top.expect("base");
  visit_top(resolved.config, kinds.tasks.names, top);
  read_section(top, "data", resolved.config.data, context);

  SectionReader model("model", top.subsection("model"), context);
  const SectionMaps attention = model.subsection("attention");
  read_kind(attention, kinds, context);
  resolved.config.model.visit(model);
  read_attention(attention, kinds, context);
  model.finish("section model");

  read_section(top, "train", resolved.config.train, context);
  read_section(top, "eval", resolved.config.eval, context);
  top.finish("the top level");

  resolved.config.protocol_label = resolved.config.protocol + (context.modified ? " (modified)" : "");
  return resolved;
}

}  // namespace lotformer::config
