// SPDX-License-Identifier: MIT
#include "layers.h"

#include <algorithm>
#include <filesystem>

#include "file_search.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "scalar.h"
#include "yaml_bytes.h"
#include "yaml_reader.h"

namespace lotformer::config {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxBaseFiles = 16;

Node scalar_node(const Place& place, std::string text, bool is_quoted) {
  Node node;
  node.kind = Node::Kind::scalar;
  node.place = place;
  node.text = std::move(text);
  node.quoted = is_quoted;
  return node;
}

Node map_node(const Place& place, std::vector<Entry> entries) {
  Node node;
  node.kind = Node::Kind::map;
  node.place = place;
  node.entries = std::make_shared<const std::vector<Entry>>(std::move(entries));
  return node;
}

/// Identity of a file for the detection of cycles.
fs::path identity(const fs::path& path) {
  std::error_code code;
  const fs::path canonical = fs::canonical(path, code);
  return code ? path : canonical;
}

/// The value of the top-level key `base`, or null.
const Node* base_of(const Node& root) {
  for (const Entry& entry : *root.entries) {
    if (entry.key == "base") return &entry.value;
  }
  return nullptr;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// The assignment for messages: on one line, without the quotes that quoted() adds.
std::string display_assignment(const std::string& assignment) {
  const std::string text = quoted(assignment, 200);
  return text.substr(1, text.size() - 2);
}

/// Root of one `a.b=value`, or nullopt and an error.
std::optional<Node> read_assignment(const std::string& assignment, Diagnostics& diagnostics) {
  const Place place{diagnostics.add_source("--set " + display_assignment(assignment)), 0, 0};
  const size_t equals = assignment.find('=');
  const std::string path = trimmed(assignment.substr(0, equals));
  const std::vector<std::string> parts = split_path(path);
  const bool has_empty =
      std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); });
  if (equals == std::string::npos || has_empty || parts.size() > static_cast<size_t>(kMaxDepth)) {
    diagnostics.add(place, "", "must have the form SECTION.KEY=VALUE, for instance --set train.steps=500");
    return std::nullopt;
  }
  if (find_invalid_utf8(assignment) != std::string::npos) {
    diagnostics.add(place, "", "the text is not UTF-8");
    return std::nullopt;
  }
  if (path == "base") {
    diagnostics.add(place, path, "belongs into a file; name the file with --config");
    return std::nullopt;
  }
  const std::string text = trimmed(assignment.substr(equals + 1));
  Node node = scalar_node(place, text, false);
  if (is_null_text(text)) {
    node.kind = Node::Kind::null;
  } else if (text[0] == '"' || text[0] == '\'') {
    std::optional<Node> inner = read_quoted_scalar(text, place.source, diagnostics);
    if (!inner) return std::nullopt;
    node = std::move(*inner);
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    node = map_node(place, {Entry{*part, place, std::move(node)}});
  }
  return node;
}

Node json_node(const Json& json, const Place& place, int depth) {
  Node node;
  node.place = place;
  if (json.is_object() && depth < kMaxDepth) {
    std::vector<Entry> entries;
    for (const auto& [key, value] : json.items())
      entries.push_back({key, place, json_node(value, place, depth + 1)});
    return map_node(place, std::move(entries));
  }
  if (json.is_structured()) {
    node.kind = Node::Kind::sequence;
  } else if (json.is_string()) {
    return scalar_node(place, json.get<std::string>(), true);
  } else if (json.is_number_float()) {
    return scalar_node(place, format_double(json.get<double>()), false);
  } else if (!json.is_null()) {
    return scalar_node(place, json.dump(), false);
  }
  return node;
}

}  // namespace

std::vector<Layer> file_layers(const std::string& file, Diagnostics& diagnostics) {
  std::vector<Layer> layers;
  std::vector<fs::path> chain;  // identities of the files above
  std::string names;            // "a.yaml -> b.yaml"
  std::string wanted = file;
  fs::path folder;
  Place asking{file.empty() ? 0 : diagnostics.add_source("--config " + display_key(file)), 0, 0};
  std::string key;
  while (!wanted.empty()) {
    const FoundFile found = find_config_file(wanted, folder);
    if (found.path.empty()) {
      diagnostics.add(asking, key, found.problem);
      break;
    }
    const std::string name = display_path(found.path);
    names += (names.empty() ? "" : " -> ") + name;
    if (std::find(chain.begin(), chain.end(), identity(found.path)) != chain.end()) {
      diagnostics.add(asking, key, "include cycle " + names + "; remove one of these base: lines");
      break;
    }
    if (chain.size() == kMaxBaseFiles) {
      diagnostics.add(asking, key,
                      concat("more than ", kMaxBaseFiles, " files include each other; join some of them"));
      break;
    }
    chain.push_back(identity(found.path));
    std::string text;
    try {
      text = read_file(found.path, ErrorKind::usage, kMaxFileBytes);
    } catch (const Error& error) {
      diagnostics.add(asking, key, error.what());
      break;
    }
    std::optional<Node> root = read_yaml(text, diagnostics.add_source(name), diagnostics);
    if (!root) break;
    const Node* base = base_of(*root);
    wanted.clear();
    if (base != nullptr) {
      key = "base";
      asking = base->place;
      std::string error = parse_value(*base, {.key = "base", .help = ""}, wanted);
      if (!error.empty()) diagnostics.add(asking, key, error + " (the name of one file)");
      folder = found.path.has_parent_path() ? found.path.parent_path() : fs::path(".");
    }
    layers.push_back({{std::move(*root)}});
  }
  std::reverse(layers.begin(), layers.end());
  return layers;
}

Layer assignment_layer(const std::vector<std::string>& assignments, Diagnostics& diagnostics) {
  Layer layer;
  for (const std::string& assignment : assignments) {
    std::optional<Node> root = read_assignment(assignment, diagnostics);
    if (root) layer.roots.push_back(std::move(*root));
  }
  return layer;
}

Layer json_layer(const Json& json, const std::string& where, Diagnostics& diagnostics) {
  const Place place{diagnostics.add_source(where, ErrorKind::checkpoint), 0, 0};
  if (!json.is_object()) {
    diagnostics.add(place, "", "the configuration must be a JSON object");
    return {};
  }
  if (json.contains("base"))
    diagnostics.add(place, "base", "belongs into a configuration file, not into a resolved configuration");
  return {{json_node(json, place, 0)}};
}

}  // namespace lotformer::config
