// SPDX-License-Identifier: MIT
#include "yaml_bytes.h"

#include "lotformer/core/text.h"

namespace lotformer::config {
namespace {

/// Length of the well-formed UTF-8 sequence at `text` (Unicode 15, table 3-7), 0 when there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first == 0xE0) low = 0xA0;   // overlong
  if (first == 0xED) high = 0x9F;  // surrogates
  if (first == 0xF0) low = 0x90;   // overlong
  if (first == 0xF4) high = 0x8F;  // above U+10FFFF
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

bool is_forbidden_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F;
}

ByteProblem problem_at(std::string_view text, size_t offset, std::string message) {
  ByteProblem problem{1, 1, std::move(message)};
  for (size_t i = 0; i < offset; ++i) {
    problem.column = text[i] == '\n' ? 1 : problem.column + 1;
    problem.line += text[i] == '\n' ? 1 : 0;
  }
  return problem;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = sequence_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::optional<ByteProblem> find_byte_problem(std::string_view text) {
  constexpr std::string_view kWanted = "; a configuration is YAML in UTF-8";
  const size_t invalid = find_invalid_utf8(text);
  bool indenting = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == invalid || is_forbidden_control(c)) {
      const std::string byte = quoted(text.substr(i, 1));
      return problem_at(text, i, concat("the file is binary (byte ", byte, ")", kWanted));
    }
    if (indenting && c == '\t') {
      const size_t next = text.find_first_not_of(" \t\r", i);
      const bool harmless = next == std::string_view::npos || text[next] == '\n' || text[next] == '#';
      if (!harmless) return problem_at(text, i, "tab in the indentation; indent with blanks");
    }
    if (c == '\n') {
      indenting = true;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      indenting = false;
    }
  }
  return std::nullopt;
}

}  // namespace lotformer::config
