// SPDX-License-Identifier: MIT
// --help: one screen.
#include <algorithm>

#include "lotformer/core/text.h"
#include "manual.h"

namespace lotformer::manual {
namespace {

constexpr size_t kWidth = 100, kWidestName = 26;

struct Line {
  std::string name, meaning;
};

/// Names in a column, meanings beside them; a name too wide for the column has a line of its own.
std::string columns(const std::string& title, const std::vector<Line>& lines) {
  if (lines.empty()) return "";
  size_t widest = 0;
  for (const Line& line : lines) {
    if (line.name.size() <= kWidestName) widest = std::max(widest, line.name.size());
  }
  std::string text = "\n" + title + ":\n";
  for (const auto& [name, meaning] : lines) {
    const bool own_line = name.size() > widest;
    std::string head = "  " + name;
    if (own_line) {
      text += head + "\n";
      head.clear();
    }
    head.resize(widest + 4, ' ');
    for (const std::string& part : wrapped(meaning, kWidth - head.size())) {
      text += head + part + "\n";
      head.assign(head.size(), ' ');
    }
    if (meaning.empty()) text += head + "\n";
  }
  return text;
}

std::string short_meaning(const OptionText& option) {
  std::string text = option.meaning;
  if (!option.choices.empty() && text.find(option.choices.back()) == std::string::npos)
    text += (text.empty() ? "" : ": ") + join(option.choices, ", ");
  if (!option.standard.empty() && !option.value_is_optional) text += " (default: " + option.standard + ")";
  return text + (option.is_required ? " (required)" : "");
}

}  // namespace

std::string help_text(const CLI::App& app, const std::string& name) {
  std::string text;
  for (const std::string& line : wrapped(app.get_description(), kWidth)) text += line + "\n";
  text += "Usage: " + usage_of(app, name) + "\n";
  std::vector<Line> arguments, options, commands;
  for (const OptionText& option : options_of(app)) {
    (option.is_argument ? arguments : options).push_back({usage_of(option), short_meaning(option)});
  }
  for (const CLI::App* command : commands_of(app))
    commands.push_back({command->get_name(), command->get_description()});
  text += columns("Arguments", arguments) + columns("Commands (each has --help)", commands) +
          columns("Options", options);
  return text + (app.get_footer().empty() ? "" : "\n" + app.get_footer() + "\n");
}

}  // namespace lotformer::manual
