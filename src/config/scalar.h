// SPDX-License-Identifier: MIT
// One value: from a Node to a typed number or text within the range of its key, and back to text.
#pragma once

#include <cstdint>
#include <string>

#include "lotformer/config/field.h"
#include "node.h"

namespace lotformer::config {

/// Each returns "" and sets `value`, or returns what is wrong and what is allowed and leaves `value` alone.
std::string parse_value(const Node& node, const FieldInfo& info, bool& value);
std::string parse_value(const Node& node, const FieldInfo& info, int64_t& value);
std::string parse_value(const Node& node, const FieldInfo& info, double& value);
std::string parse_value(const Node& node, const FieldInfo& info, std::string& value);

/// "true or false", "a whole number between 1 and 1000", "a number > 0", "one of a, b", "text".
std::string allowed_values(const FieldInfo& info, bool);
std::string allowed_values(const FieldInfo& info, int64_t);
std::string allowed_values(const FieldInfo& info, double);
std::string allowed_values(const FieldInfo& info, const std::string&);

/// YAML text that parse_value reads back as the same value.
std::string yaml_text(bool value);
std::string yaml_text(int64_t value);
std::string yaml_text(double value);
std::string yaml_text(const std::string& value);

/// True for the spellings of YAML's null.
bool is_null_text(const std::string& text);

}  // namespace lotformer::config
