// SPDX-License-Identifier: MIT
#include "scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "diagnostics.h"
#include "lotformer/core/text.h"

namespace lotformer::config {
namespace {

constexpr size_t kMaxText = 4096;  // bytes; PATH_MAX, the longest sensible value

std::string number_text(double value) {
  const bool integral = std::floor(value) == value && std::abs(value) < 1e15;
  return integral ? std::to_string(static_cast<int64_t>(value)) : format_double(value);
}

/// "between 1 and 9", ">= 0 and < 1", "> 0" or "".
std::string range_text(const Range& range) {
  const bool low = std::isfinite(range.low);
  const bool high = std::isfinite(range.high);
  if (low && high && !range.low_open && !range.high_open) {
    return "between " + number_text(range.low) + " and " + number_text(range.high);
  }
  std::string text;
  if (low) text = (range.low_open ? "> " : ">= ") + number_text(range.low);
  if (low && high) text += " and ";
  if (high) text += (range.high_open ? "< " : "<= ") + number_text(range.high);
  return text;
}

bool inside(const Range& range, double value) {
  const bool above = range.low_open ? value > range.low : value >= range.low;
  const bool below = range.high_open ? value < range.high : value <= range.high;
  return above && below;
}

template <class T>
std::string must_be(const FieldInfo& info, const T& value) {
  return "must be " + allowed_values(info, value);
}

/// What is wrong with the form of a node, before its text is looked at; `is_text`: quotes are fine.
template <class T>
std::string form_error(const Node& node, const FieldInfo& info, const T& value, bool is_text) {
  switch (node.kind) {
    case Node::Kind::map:
      return must_be(info, value) + ", got a section";
    case Node::Kind::sequence:
      return must_be(info, value) + ", got a list";
    case Node::Kind::null:
      return must_be(info, value) + ", got no value; give one or remove the key";
    case Node::Kind::scalar:
      break;
  }
  if (node.quoted && !is_text)
    return must_be(info, value) + ", got the text " + quoted(node.text) + "; remove the quotes";
  return "";
}

enum class NumberForm { not_a_number, non_finite, too_large, finite };

NumberForm parse_double(const std::string& text, double& value) {
  const char* first = text.data();
  const char* last = first + text.size();
  if (first != last && *first == '+' && last - first > 1 && first[1] != '-') ++first;
  const auto [end, code] = std::from_chars(first, last, value);
  if (code == std::errc::result_out_of_range && end == last) return NumberForm::too_large;
  if (code == std::errc() && end == last)
    return std::isfinite(value) ? NumberForm::finite : NumberForm::non_finite;
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (!lower.empty() && (lower[0] == '+' || lower[0] == '-')) lower.erase(0, 1);
  return lower == ".nan" || lower == ".inf" ? NumberForm::non_finite : NumberForm::not_a_number;
}

/// Decimal digits with an optional sign and no leading zeros (which YAML 1.1 would read as octal).
bool is_plain_integer(const std::string& text) {
  const size_t sign = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  const size_t digits = text.size() - sign;
  if (digits == 0 || (digits > 1 && text[sign] == '0')) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(sign), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// "; write 1000" for 1e3 and 1000.0.
std::string integer_spelling(const std::string& text) {
  double value = 0;
  const bool whole = parse_double(text, value) == NumberForm::finite && std::floor(value) == value;
  return whole && std::abs(value) < 1e15 ? "; write " + number_text(value) : "";
}

}  // namespace

std::string allowed_values(const FieldInfo&, bool) {
  return "true or false";
}

std::string allowed_values(const FieldInfo& info, int64_t) {
  const std::string range = range_text(info.range);
  return range.empty() ? "a whole number" : "a whole number " + range;
}

std::string allowed_values(const FieldInfo& info, double) {
  const std::string range = range_text(info.range);
  return range.empty() ? "a number" : "a number " + range;
}

std::string allowed_values(const FieldInfo& info, const std::string&) {
  if (info.choices.empty()) return "text";
  const std::vector<std::string> choices(info.choices.begin(), info.choices.end());
  return choices.size() == 1 ? choices[0] : "one of " + join(choices, ", ");
}

std::string parse_value(const Node& node, const FieldInfo& info, bool& value) {
  if (std::string error = form_error(node, info, value, false); !error.empty()) return error;
  if (node.text != "true" && node.text != "false") return must_be(info, value) + ", got " + quoted(node.text);
  value = node.text == "true";
  return "";
}

std::string parse_value(const Node& node, const FieldInfo& info, int64_t& value) {
  if (std::string error = form_error(node, info, value, false); !error.empty()) return error;
  if (!is_plain_integer(node.text)) {
    return must_be(info, value) + " in plain digits, got " + quoted(node.text) + integer_spelling(node.text);
  }
  int64_t parsed = 0;
  const char* first = node.text.data() + (node.text[0] == '+' ? 1 : 0);
  const char* last = node.text.data() + node.text.size();
  if (std::from_chars(first, last, parsed).ec != std::errc()) {
    return must_be(info, value) + ", got " + quoted(node.text) + ", which does not fit into 64 bits";
  }
  if (!inside(info.range, static_cast<double>(parsed))) {
    return concat("must be ", range_text(info.range), ", got ", parsed);
  }
  value = parsed;
  return "";
}

std::string parse_value(const Node& node, const FieldInfo& info, double& value) {
  if (std::string error = form_error(node, info, value, false); !error.empty()) return error;
  double parsed = 0;
  switch (parse_double(node.text, parsed)) {
    case NumberForm::not_a_number:
      return must_be(info, value) + ", got " + quoted(node.text);
    case NumberForm::non_finite:
      return must_be(info, value) + " and finite, got " + quoted(node.text);
    case NumberForm::too_large:
      return must_be(info, value) + ", got " + quoted(node.text) + ", which is outside the range of a double";
    case NumberForm::finite:
      break;
  }
  if (!inside(info.range, parsed))
    return "must be " + range_text(info.range) + ", got " + format_double(parsed);
  value = parsed + 0.0;  // -0 becomes 0: equal settings must hash alike
  return "";
}

std::string parse_value(const Node& node, const FieldInfo& info, std::string& value) {
  if (std::string error = form_error(node, info, value, true); !error.empty()) return error;
  if (!info.choices.empty()) {
    if (std::find(info.choices.begin(), info.choices.end(), node.text) == info.choices.end()) {
      const std::vector<std::string> choices(info.choices.begin(), info.choices.end());
      return must_be(info, value) + ", got " + quoted(node.text) + did_you_mean(node.text, choices);
    }
  } else {
    if (node.text.empty()) return "must be text, got an empty one; give a value or remove the key";
    if (node.text.size() > kMaxText)
      return concat("must have at most ", kMaxText, " bytes, got ", node.text.size());
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
    if (std::any_of(node.text.begin(), node.text.end(), is_control)) {
      return "must be one line of text without control characters, got " + quoted(node.text);
    }
  }
  value = node.text;
  return "";
}

std::string yaml_text(bool value) {
  return value ? "true" : "false";
}
std::string yaml_text(int64_t value) {
  return std::to_string(value);
}
std::string yaml_text(double value) {
  return format_double(value);
}

std::string yaml_text(const std::string& value) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '/' || c == '.' || c == '-';
  };
  const bool starts_plain = !value.empty() && value[0] != '-' && value[0] != '.';
  const bool relative = value.starts_with("./") || value.starts_with("../");
  if ((starts_plain || relative) && std::all_of(value.begin(), value.end(), is_plain) && !is_null_text(value))
    return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

bool is_null_text(const std::string& text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

}  // namespace lotformer::config
