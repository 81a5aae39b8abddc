// SPDX-License-Identifier: MIT
// One tree for every source of settings (YAML file, --set, JSON of a checkpoint). Unlike YAML::Node it keeps
// duplicate keys, an exact place for each key and value, and shares nothing mutable.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace lotformer::config {

/// Where something stands. `source` indexes Diagnostics' list; line and column count from 1, 0 means that
/// there is none.
struct Place {
  int source = 0;
  int line = 0;
  int column = 0;
};

struct Entry;

struct Node {
  enum class Kind { null, scalar, map, sequence };
  Kind kind = Kind::null;
  Place place;
  /// Scalars only.
  std::string text;
  /// Scalars only: written in quotes, therefore text.
  bool quoted = false;
  /// Maps only; sequences keep nothing: no key takes one.
  std::shared_ptr<const std::vector<Entry>> entries;
};

struct Entry {
  std::string key;
  Place place;
  Node value;
};

/// The schema needs 3; a stranger's file must not decide how deep we recurse.
inline constexpr int kMaxDepth = 16;

}  // namespace lotformer::config
