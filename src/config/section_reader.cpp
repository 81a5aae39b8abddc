// SPDX-License-Identifier: MIT
#include "section_reader.h"

#include <algorithm>

#include "lotformer/core/text.h"
#include "protocol.h"
#include "scalar.h"

namespace lotformer::config {

template <class T>
void SectionReader::read(const FieldInfo& info, T& value) {
  const std::string key(info.key);
  const std::string path = full(key);
  known_.push_back(key);
  Resolved& resolved = context_.resolved;
  Origin& origin = resolved.origins[path];
  int layer = -1;  // that gave the value
  for (const SectionMap& section : maps_) {
    for (const Entry& entry : *section.map->entries) {
      if (entry.key != key) continue;
      const std::string error = parse_value(entry.value, info, value);
      if (error.empty()) {
        origin = {Origin::Kind::given, entry.value.place};
        layer = section.layer;
      } else {
        resolved.invalid.insert(path);
        context_.diagnostics.add(entry.value.place, path, error);
      }
    }
  }
  if (path == "protocol") context_.protocol_layer = layer;
  const Protocol* protocol = find_protocol(resolved.config.protocol);
  if (protocol == nullptr) return;
  const auto published =
      published_value(*protocol, resolved.config.task, resolved.config.attention_kind, path);
  if (!published) return;
  Node node;
  node.kind = Node::Kind::scalar;
  node.text = *published;
  T theirs{};
  // A module that has the key but not the value (no mode `reference`) keeps its own default.
  if (!parse_value(node, info, theirs).empty()) return;
  // A protocol brings its values where it is named: they give way to what stands beside it or in a stronger
  // layer, and win over weaker ones, such as a base file or, for --set protocol=..., the file.
  if (origin.kind == Origin::Kind::given && layer >= context_.protocol_layer) {
    context_.modified = context_.modified || value != theirs;
  } else {
    value = theirs;
    origin.kind = Origin::Kind::protocol;
  }
}

void SectionReader::field(const FieldInfo& info, bool& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, int64_t& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, double& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, std::string& value) {
  read(info, value);
}

void SectionReader::begin_section(const std::string& name) {
  SectionMaps inner = subsection(name);
  outer_.push_back({path_, std::move(maps_), std::move(known_)});
  path_ = path_.empty() ? name : path_ + "." + name;
  maps_ = std::move(inner);
  known_.clear();
}

void SectionReader::end_section() {
  finish("section " + path_);
  path_ = std::move(outer_.back().path);
  maps_ = std::move(outer_.back().maps);
  known_ = std::move(outer_.back().known);
  outer_.pop_back();
}

SectionMaps SectionReader::subsection(const std::string& name) {
  known_.push_back(name);
  SectionMaps found;
  for (const SectionMap& section : maps_) {
    for (const Entry& entry : *section.map->entries) {
      if (entry.key != name) continue;
      const Node& value = entry.value;
      if (value.kind == Node::Kind::map) {
        found.push_back({&value, section.layer});
        continue;
      }
      std::string message = full(name) == "model.attention"
                                ? "is a section; write model.attention.kind and the options of that kind"
                                : "is a section; its keys follow indented below it";
      if (value.kind == Node::Kind::null) message += ", got nothing; remove the line or give it a key";
      if (value.kind == Node::Kind::sequence) message += ", got a list";
      if (value.kind == Node::Kind::scalar) message += ", got " + quoted(value.text);
      context_.diagnostics.add(value.place, full(name), message);
    }
  }
  return found;
}

std::string SectionReader::unknown_key(const std::string& key, const std::string& owner) const {
  std::string message = "unknown key of " + owner;
  if (std::string here = did_you_mean(key, known_); !here.empty()) return message + here;
  // The right word in the wrong section, or dots where YAML wants indentation.
  for (const std::string& path : context_.all_keys) {
    if (path == full(key) && !path_.empty())
      return message + ", it belongs to another; known are " + join(known_, ", ");
    if (path == key)
      return message + "; write '" + path.substr(path.rfind('.') + 1) + "' indented below '" +
             path.substr(0, path.rfind('.')) + "'";
    if (path.ends_with("." + key)) return message + "; did you mean '" + path + "'?";
  }
  return message + "; known are " + join(known_, ", ");
}

void SectionReader::finish(const std::string& owner) {
  for (const SectionMap& section : maps_) {
    for (const Entry& entry : *section.map->entries) {
      if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
      context_.diagnostics.add(entry.place, full(display_key(entry.key)), unknown_key(entry.key, owner));
    }
  }
}

}  // namespace lotformer::config
