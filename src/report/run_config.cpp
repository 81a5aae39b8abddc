// SPDX-License-Identifier: MIT
#include "run_config.h"

#include <yaml-cpp/yaml.h>

#include "lotformer/config/config.h"
#include "lotformer/config/load.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;
using Flat = std::map<std::string, std::string>;

constexpr int64_t kMostBytes = 1 << 20;
constexpr int kMostLevels = 16;

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? format_double(value.get<double>()) : value.dump();
}

void flatten(const Json& value, const std::string& name, Flat& flat) {
  if (!value.is_object()) {
    flat[name] = text_of(value);
    return;
  }
  for (const auto& [key, member] : value.items())
    flatten(member, name.empty() ? key : name + "." + key, flat);
}

void flatten(const YAML::Node& node, const std::string& name, Flat& flat, int depth = 0) {
  // An anchor that holds itself would never end.
  if (depth > kMostLevels) throw Error(ErrorKind::usage, "config.yaml: more than 16 levels");
  if (node.IsMap()) {
    for (const auto& member : node) {
      const std::string key = member.first.Scalar();
      flatten(member.second, name.empty() ? key : name + "." + key, flat, depth + 1);
    }
  } else {
    flat[name] = node.IsScalar() ? node.Scalar() : concat("a list of ", node.size());
  }
}

}  // namespace

Flat read_config(const fs::path& folder, const Json& mark, std::vector<std::string>& notes) {
  Flat flat;
  if (mark.is_object() && mark.contains("config") && mark["config"].is_object()) {
    flatten(mark["config"], "", flat);
    return flat;
  }
  const fs::path path = folder / "config.yaml";
  try {
    flatten(YAML::Load(read_file(path, ErrorKind::usage, kMostBytes)), "", flat);
  } catch (const YAML::Exception& error) {
    notes.push_back(concat("config.yaml is no YAML: ", one_line(error.what())));
  } catch (const Error& error) {
    notes.push_back(concat("the configuration is not known: ", one_line(error.what())));
  }
  return flat;
}

const std::set<std::string>& keys_of_no_experiment() {
  static const std::set<std::string> keys = [] {
    Flat all, experiment;
    const Config config;
    flatten(config_to_json(config), "", all);
    flatten(experiment_to_json(config), "", experiment);
    std::set<std::string> result = {"train.seed"};
    for (const auto& [key, value] : all) {
      if (!experiment.contains(key)) result.insert(key);
    }
    return result;
  }();
  return keys;
}

}  // namespace lotformer::report
