// SPDX-License-Identifier: MIT
// The order of sections and keys, for whoever walks a whole configuration.
#pragma once

#include <string>
#include <vector>

#include "lotformer/config/config.h"

namespace lotformer::config {

/// Top-level keys `task` and `protocol` (`base` belongs to the loader).
void visit_top(Config& config, const std::vector<std::string>& tasks, FieldVisitor& visitor);
/// model.attention.kind
void visit_kind(std::string& kind, const std::vector<std::string>& names, FieldVisitor& visitor);

inline constexpr std::string_view kBaseHelp =
    "one file whose settings apply where this one is silent; looked for beside this file, then like --config";

/// A visitor that is told where sections begin and end.
class SectionVisitor : public FieldVisitor {
 public:
  void begin_section(const std::string& name) override = 0;
  void end_section() override = 0;
};

/// Every key of a resolved configuration, in the order of the documentation.
void visit_config(Config& config, const Kinds& kinds, SectionVisitor& visitor);

}  // namespace lotformer::config
