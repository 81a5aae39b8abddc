// SPDX-License-Identifier: MIT
// Checks of raw bytes before they reach the YAML parser: encoding, control characters, tabs in the
// indentation.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lotformer::config {

struct ByteProblem {
  /// From 1.
  int line;
  /// From 1.
  int column;
  std::string message;
};

/// The first byte that no configuration may contain, with the reason.
std::optional<ByteProblem> find_byte_problem(std::string_view text);

/// Offset of the first byte that breaks UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

}  // namespace lotformer::config
