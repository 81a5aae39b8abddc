// SPDX-License-Identifier: MIT
// A resolved configuration as YAML with origins, as JSON and as a hash.
#include <algorithm>
#include <vector>

#include "loading.h"
#include "lotformer/config/load.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/text.h"
#include "scalar.h"
#include "schema.h"

namespace lotformer {
namespace config {
namespace {

constexpr size_t kCommentColumn = 40;

class YamlPrinter final : public SectionVisitor {
 public:
  YamlPrinter(const Resolved& resolved, const Diagnostics& places) : resolved_(resolved), places_(places) {}

  void field(const FieldInfo& info, bool& value) override { line(info, yaml_text(value)); }
  void field(const FieldInfo& info, int64_t& value) override { line(info, yaml_text(value)); }
  void field(const FieldInfo& info, double& value) override { line(info, yaml_text(value)); }
  void field(const FieldInfo& info, std::string& value) override { line(info, yaml_text(value)); }
  void begin_section(const std::string& name) override {
    text += std::string(2 * sections_.size(), ' ') + name + ":\n";
    sections_.push_back(name);
  }
  void end_section() override { sections_.pop_back(); }

  std::string text;

 private:
  void line(const FieldInfo& info, const std::string& value) {
    std::string out = std::string(2 * sections_.size(), ' ') + std::string(info.key) + ": " + value;
    out.resize(std::max(kCommentColumn, out.size() + 2), ' ');
    const std::string section = join(sections_, ".");
    text += out + "# " + origin((section.empty() ? "" : section + ".") + std::string(info.key)) + "\n";
  }

  std::string origin(const std::string& path) const {
    const auto it = resolved_.origins.find(path);
    if (it == resolved_.origins.end() || it->second.kind == Origin::Kind::unset) return "default";
    if (it->second.kind == Origin::Kind::protocol) return "protocol " + resolved_.config.protocol;
    const Place& place = it->second.place;
    if (place.line == 0) return "--set";
    const std::string file = quoted(places_.source_name(place.source), 4096);  // a name may hold a line break
    return concat(file.substr(1, file.size() - 2), ":", place.line);
  }

  const Resolved& resolved_;
  const Diagnostics& places_;
  std::vector<std::string> sections_;
};

class JsonWriter final : public SectionVisitor {
 public:
  enum class Keys { all, experiment, bookkeeping };
  explicit JsonWriter(Keys keys) : keys_(keys) {}
  void field(const FieldInfo& info, bool& value) override { put(info, value); }
  void field(const FieldInfo& info, int64_t& value) override { put(info, value); }
  void field(const FieldInfo& info, double& value) override { put(info, value); }
  void field(const FieldInfo& info, std::string& value) override { put(info, value); }
  void begin_section(const std::string& name) override { open_.push_back({name, Json::object()}); }
  void end_section() override {
    auto [name, section] = std::move(open_.back());
    open_.pop_back();
    current()[name] = std::move(section);
  }
  const Json& result() const { return root_; }

 private:
  template <class T>
  void put(const FieldInfo& info, const T& value) {
    if (keys_ == Keys::all || (keys_ == Keys::bookkeeping) == info.bookkeeping)
      current()[std::string(info.key)] = value;
  }
  Json& current() { return open_.empty() ? root_ : open_.back().second; }
  Keys keys_;
  Json root_ = Json::object();
  std::vector<std::pair<std::string, Json>> open_;
};

Json written(const Config& config, JsonWriter::Keys keys) {
  Config copy = config;  // visitors may write; the attention options are shared and only read here
  JsonWriter writer(keys);
  visit_config(copy, {}, writer);
  return writer.result();
}

/// "/train/lr" -> "train.lr".
std::string dotted(const std::string& pointer) {
  std::string key = pointer.substr(1);
  std::replace(key.begin(), key.end(), '/', '.');
  return key;
}

}  // namespace
}  // namespace config

std::string print_config(const ConfigRequest& request, const Kinds& kinds) {
  config::Loaded loaded = config::load(request, kinds);
  config::YamlPrinter printer(loaded.resolved, loaded.diagnostics);
  config::visit_config(loaded.resolved.config, kinds, printer);
  return printer.text;
}

Json config_to_json(const Config& config) {
  return config::written(config, config::JsonWriter::Keys::all);
}

Json experiment_to_json(const Config& config) {
  return config::written(config, config::JsonWriter::Keys::experiment);
}

std::vector<std::string> experiment_differences(const Json& recorded, const Config& config) {
  // A file may hold anything under the name of a configuration; flatten() wants an object or an array.
  const Json was = recorded.is_structured() ? recorded.flatten() : Json::object();
  const Json is = experiment_to_json(config).flatten(),
             free = config::written(config, config::JsonWriter::Keys::bookkeeping).flatten();
  std::vector<std::string> differences;
  for (const auto& [key, value] : was.items()) {
    if (key.empty() || free.contains(key) || (is.contains(key) && is[key] == value)) continue;
    differences.push_back(concat(config::dotted(key), " was ", to_line(value), ", is ",
                                 is.contains(key) ? to_line(is[key]) : "absent"));
  }
  for (const auto& [key, value] : is.items()) {
    if (!was.contains(key))
      differences.push_back(concat(config::dotted(key), " was absent, is ", to_line(value)));
  }
  return differences;
}

std::string config_hash(const Config& config) {
  return hash_bytes(to_line(experiment_to_json(config)));
}

}  // namespace lotformer
