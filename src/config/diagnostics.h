// SPDX-License-Identifier: MIT
// Collects every error of a configuration, to be thrown at once and sorted by place.
#pragma once

#include <string>
#include <vector>

#include "lotformer/core/error.h"
#include "node.h"

namespace lotformer::config {

class Diagnostics {
 public:
  /// Registers a file, an assignment or a JSON document; errors are sorted by the order of registration.
  /// `kind` is what errors in it are thrown as.
  int add_source(std::string name, ErrorKind kind = ErrorKind::usage);
  const std::string& source_name(int source) const { return sources_[static_cast<size_t>(source)].name; }

  /// `key` may be empty when no key is concerned.
  void add(const Place& place, const std::string& key, const std::string& message);
  bool empty() const { return errors_.empty(); }

  /// "file:line:column", without the parts that are unknown.
  std::string describe(const Place& place) const;

  /// One line an error, without repetitions. The first source with an error decides the kind.
  void throw_if_any() const;

 private:
  struct Source {
    std::string name;
    ErrorKind kind;
  };
  struct Message {
    Place place;
    std::string text;
  };
  std::vector<Source> sources_;
  std::vector<Message> errors_;
};

/// True when `a` comes before `b` in the order in which errors are printed.
bool before(const Place& a, const Place& b);

/// A key for messages: as it is when it is printable and short, else quoted and cut.
std::string display_key(const std::string& key);

}  // namespace lotformer::config
