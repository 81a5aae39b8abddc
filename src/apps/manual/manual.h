// SPDX-License-Identifier: MIT
// What a program says about its command line: help, manual page and completion, all from its one definition
// (CLI::App).
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace lotformer::manual {

/// One option or argument as a reader sees it.
struct OptionText {
  /// "--help" before "-h"; an argument without a dash has its own name alone.
  std::vector<std::string> names;
  /// What follows it, for instance "FILE"; empty for a flag.
  std::string value;
  std::string meaning;
  /// Default, or empty.
  std::string standard;
  /// What the value may be; empty means anything.
  std::vector<std::string> choices;
  /// "0 to 4096", or empty.
  std::string range;
  bool value_is_optional = false, takes_several = false, is_argument = false, is_required = false;
};

/// The visible options of one command, arguments first, in the order of their definition.
std::vector<OptionText> options_of(const CLI::App& app);
/// "--watch [SECONDS]", "--modules MODULE..."
std::string usage_of(const OptionText& option);
/// "lotformer-bench attention [OPTIONS]"
std::string usage_of(const CLI::App& app, const std::string& name);

/// Commands of `app` (lotformer-bench attention), in the order of their definition.
std::vector<const CLI::App*> commands_of(const CLI::App& app);

/// `text` broken at blanks into lines of at most `width` characters; a line break in it stays.
std::vector<std::string> wrapped(const std::string& text, size_t width);

/// --help of one command: at most 100 columns.
std::string help_text(const CLI::App& app, const std::string& name);
/// --man: the page of the program with all of its commands, in roff.
std::string man_page(const CLI::App& app, const std::string& version);

/// What may stand for a value, by the value's name in the usage ("KEY=VALUE").
using ValueWords = std::map<std::string, std::vector<std::string>>;
/// Called when a completion is printed and not before: finding words may read folders.
using FindWords = std::function<ValueWords()>;
/// --completion: a script for `shell`, "bash" or "zsh".
std::string completion(const CLI::App& app, const std::string& shell, const ValueWords& words);

}  // namespace lotformer::manual
