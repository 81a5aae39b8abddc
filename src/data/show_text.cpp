// SPDX-License-Identifier: MIT
// Bytes, trees and pictures as text.
#include <algorithm>
#include <cmath>
#include <vector>

#include "data/tasks/listops_expression.h"
#include "lotformer/core/text.h"
#include "lotformer/data/show.h"

namespace lotformer::data {
namespace {

/// Length of the well-formed UTF-8 character at the front, or 0. Control characters beyond ASCII (C1) do not
/// count: terminals obey them.
size_t utf8_length(std::span<const uint8_t> bytes) {
  const uint8_t first = bytes[0];
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((bytes[i] & 0xC0U) != 0x80) return 0;
  }
  if (length == 2 && first == 0xC2 && bytes[1] < 0xA0) return 0;
  if (length == 3 && ((first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] >= 0xA0))) return 0;
  if (length == 4 && ((first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] >= 0x90))) return 0;
  return length;
}

bool is_token_of_expressions(uint8_t token) {
  return listops::is_operator(token) || listops::is_digit(token) || token == listops::kClose;
}

/// The value of the expression that begins at `begin`, -1 when it is broken.
int value_at(std::span<const uint8_t> tokens, size_t begin) {
  listops::Expression expression;
  expression.begin();
  int64_t level = 0;
  for (size_t i = begin; i < tokens.size(); ++i) {
    if (!is_token_of_expressions(tokens[i]) || !expression.push(tokens[i])) return -1;
    level += listops::is_operator(tokens[i]) ? 1 : tokens[i] == listops::kClose ? -1 : 0;
    if (level == 0) return expression.finish() ? expression.value() : -1;
  }
  return -1;
}

/// A picture of at most 128 pixels an edge: means of squares of pixels.
std::vector<uint8_t> reduced(std::span<const uint8_t> pixels, size_t edge, size_t factor) {
  const size_t small = edge / factor;
  std::vector<uint8_t> result(small * small);
  for (size_t y = 0; y < small; ++y) {
    for (size_t x = 0; x < small; ++x) {
      size_t sum = 0;
      for (size_t i = 0; i < factor * factor; ++i)
        sum += pixels[(y * factor + i / factor) * edge + x * factor + i % factor];
      result[y * small + x] = static_cast<uint8_t>(sum / (factor * factor));
    }
  }
  return result;
}

}  // namespace

std::string printable(std::span<const uint8_t> bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const uint8_t byte = bytes[i];
    const size_t length = utf8_length(bytes.subspan(i));
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
    if (length == 0 || control) {
      out += {'\\', 'x', kHex[byte / 16], kHex[byte % 16]};
      ++i;
    } else {
      out.append(reinterpret_cast<const char*>(bytes.data() + i), length);
      i += length;
    }
  }
  return out;
}

std::string listops_tree(std::span<const std::string> texts) {
  std::vector<uint8_t> tokens;  // in the default numbering, which the grammar knows
  for (const std::string& text : texts) tokens.push_back(listops::token_id(text));
  const bool closed = std::find(tokens.begin(), tokens.end(), listops::kClose) != tokens.end();
  if (!closed && std::any_of(tokens.begin(), tokens.end(), listops::is_operator)) {
    return join(std::vector<std::string>(texts.begin(), texts.end()), " ") + "\n";
  }
  std::string out;
  size_t level = 0;
  bool in_digits = false;  // digits that follow one another share a line
  const auto begin_line = [&] {
    if (!out.empty() && out.back() != '\n') out += '\n';
    out.append(2 * level, ' ');
    in_digits = false;
  };
  for (size_t i = 0; i < tokens.size(); ++i) {
    const uint8_t token = tokens[i];
    const std::string& text = texts[i];
    if (listops::is_operator(token)) {
      begin_line();
      const int value = value_at(tokens, i);
      out += value < 0 ? text : concat(text, "  = ", value);
      ++level;
    } else if (token == listops::kClose) {
      level -= level > 0 ? 1 : 0;
      begin_line();
      out += text;
    } else {
      if (!in_digits) begin_line();
      out += in_digits ? " " + text : text;
      in_digits = true;
    }
  }
  return out + "\n";
}

std::string half_blocks(std::span<const uint8_t> all_pixels, Ink ink) {
  constexpr size_t kColumns = 128;
  constexpr int kBright = 96;
  const auto full = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(all_pixels.size()))));
  const size_t factor = (full + kColumns - 1) / kColumns;
  const std::vector<uint8_t> pixels = reduced(all_pixels, full, std::max<size_t>(factor, 1));
  const size_t edge = full / std::max<size_t>(factor, 1);
  std::string out;
  for (size_t y = 0; y < edge; y += 2) {
    for (size_t x = 0; x < edge; ++x) {
      const int upper = pixels[y * edge + x];
      const int lower = y + 1 < edge ? pixels[(y + 1) * edge + x] : 0;
      if (ink == Ink::grey) {
        out += concat("\x1b[38;2;", upper, ";", upper, ";", upper, ";48;2;", lower, ";", lower, ";", lower,
                      "m\u2580");
      } else {
        const int both = (upper >= kBright ? 2 : 0) + (lower >= kBright ? 1 : 0);
        out += both == 3 ? "\u2588" : both == 2 ? "\u2580" : both == 1 ? "\u2584" : " ";
      }
    }
    out += ink == Ink::grey ? "\x1b[0m\n" : "\n";
  }
  return out;
}

}  // namespace lotformer::data
