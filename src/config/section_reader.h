// SPDX-License-Identifier: MIT
// Reads the keys of one section from all layers.
#pragma once

#include <string>
#include <vector>

#include "resolve.h"
#include "schema.h"

namespace lotformer::config {

/// One map of a layer that holds keys of the section.
struct SectionMap {
  const Node* map;
  int layer;
};
using SectionMaps = std::vector<SectionMap>;  // weakest first

struct ReadContext {
  Resolved& resolved;
  Diagnostics& diagnostics;
  /// Full keys of the whole schema, for suggestions.
  std::vector<std::string> all_keys;
  /// The strongest layer that names the protocol.
  int protocol_layer = -1;
  /// A given value differs from that of the protocol.
  bool modified = false;
};

class SectionReader final : public FieldVisitor {
 public:
  /// `path` is "" for the top level, else "model.attention".
  SectionReader(std::string path, SectionMaps maps, ReadContext& context)
      : path_(std::move(path)), maps_(std::move(maps)), context_(context) {}

  void field(const FieldInfo& info, bool& value) override;
  void field(const FieldInfo& info, int64_t& value) override;
  void field(const FieldInfo& info, double& value) override;
  void field(const FieldInfo& info, std::string& value) override;
  void begin_section(const std::string& name) override;
  void end_section() override;

  /// A key that is known here and read by someone else.
  void expect(const std::string& key) { known_.push_back(key); }
  /// The maps of a subsection; something else than a map in its place is an error.
  SectionMaps subsection(const std::string& name);
  /// Reports keys that nobody asked for. `owner` names what has the keys: "section train", "kind softmax".
  void finish(const std::string& owner);

 private:
  template <class T>
  void read(const FieldInfo& info, T& value);
  std::string full(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  std::string unknown_key(const std::string& key, const std::string& owner) const;

  std::string path_;
  SectionMaps maps_;
  ReadContext& context_;
  std::vector<std::string> known_;
  struct Outer {
    std::string path;
    SectionMaps maps;
    std::vector<std::string> known;
  };
  std::vector<Outer> outer_;  // the sections around the one being read
};

}  // namespace lotformer::config
