// SPDX-License-Identifier: MIT
// From CLI11's objects to plain text.
#include <algorithm>
#include <sstream>

#include "lotformer/core/text.h"
#include "manual.h"

namespace lotformer::manual {
namespace {

/// CLI11's own names of types say less than a letter does.
std::string value_name(const std::string& type) {
  if (type == "INT" || type == "UINT") return "N";
  if (type == "FLOAT") return "X";
  return type == "TEXT" ? "TEXT" : type;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

/// CLI11 hands out validators as ":{a,b}" and ":INT in [0 - 4096]" behind the name of the type.
void read_type(const std::string& type, OptionText& text) {
  const size_t colon = type.find(':');
  text.value = value_name(type.substr(0, colon));
  if (colon == std::string::npos) return;
  const std::string rule = type.substr(colon + 1);
  const size_t open = rule.find("in [");
  if (rule.front() == '{') {
    text.choices = split(rule.substr(1, rule.find('}') - 1), ',');
  } else if (open != std::string::npos) {
    text.range = rule.substr(open + 4, rule.find(']') - open - 4);
    const size_t dash = text.range.find(" - ");
    if (dash != std::string::npos) text.range.replace(dash, 3, " to ");
  }
}

/// Lists are written as CLI11 prints them, in brackets or not.
std::string without_brackets(const std::string& text) {
  return text.size() > 1 && text.front() == '[' ? text.substr(1, text.size() - 2) : text;
}

OptionText describe(const CLI::Option& option) {
  OptionText text;
  text.is_argument = option.get_positional();
  if (text.is_argument) text.names = {option.get_name(true, false)};
  for (const std::string& name : option.get_lnames()) text.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) text.names.push_back("-" + name);
  text.meaning = option.get_description();
  text.is_required = option.get_required();
  if (option.get_items_expected_max() == 0) return text;  // a flag
  read_type(option.get_type_name(), text);
  text.standard = without_brackets(option.get_default_str());
  text.value_is_optional = option.get_items_expected_min() == 0;
  text.takes_several = option.get_items_expected_max() > 1 && option.get_allow_extra_args();
  return text;
}

}  // namespace

std::vector<OptionText> options_of(const CLI::App& app) {
  std::vector<OptionText> texts;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) texts.push_back(describe(*option));
  }
  std::stable_partition(texts.begin(), texts.end(), [](const OptionText& text) { return text.is_argument; });
  return texts;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string usage_of(const OptionText& option) {
  std::vector<std::string> names = option.names;
  std::reverse(names.begin(), names.end());  // "-h, --help"
  std::string text = join(names, ", ");
  if (option.is_argument || option.value.empty()) return text;
  const std::string value = option.value + (option.takes_several ? "..." : "");
  return text + (option.value_is_optional ? " [" + value + "]" : " " + value);
}

std::string usage_of(const CLI::App& app, const std::string& name) {
  std::string text = name + " [OPTIONS]";
  for (const OptionText& option : options_of(app)) {
    if (option.is_argument) text += " " + option.names.front() + (option.takes_several ? "..." : "");
  }
  return text + (commands_of(app).empty() ? "" : " COMMAND");
}

std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines;
  for (const std::string& paragraph : split(text, '\n')) {
    std::string line;
    for (const std::string& word : split(paragraph, ' ')) {
      if (!line.empty() && line.size() + 1 + word.size() > width) {
        lines.push_back(line);
        line.clear();
      }
      line += (line.empty() ? "" : " ") + word;
    }
    lines.push_back(line);
  }
  return lines;
}

}  // namespace lotformer::manual
