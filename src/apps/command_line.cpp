// SPDX-License-Identifier: MIT
#include "command_line.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "lotformer/core/program.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;

namespace {

class HelpFormatter final : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode /*mode*/) const override {
    return manual::help_text(*app, name);
  }
};

/// For each command: our help; of an option given twice the last one counts, so that a script's own can be
/// overridden; lists (--set) keep all.
void prepare(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "print this text and stop");
  for (CLI::Option* option : app.get_options()) {
    if (option->get_expected_max() == 1) option->take_last();
  }
  for (CLI::App* command : app.get_subcommands({})) prepare(*command);
}

/// Ends the parsing with a text on stdout, as --version does.
[[noreturn]] void print_and_stop(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  throw CLI::CallForVersion(text, 0);
}

void add_common_options(CLI::App& app, const manual::FindWords& find_words) {
  app.set_version_flag("--version", build_id(), "print version and source revision, and stop");
  app.add_flag_callback(
      "--man", [&app] { print_and_stop(manual::man_page(app, build_id())); },
      "print the manual page (PROGRAM --man | man -l -), and stop");
  app.add_option_function<std::string>(
         "--completion",
         [&app, &find_words](const std::string& shell) {
           print_and_stop(manual::completion(app, shell, find_words ? find_words() : manual::ValueWords{}));
         },
         "print a script that completes this command line in bash or zsh, and stop")
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh"}));
}

bool has_option(const CLI::App& app, const std::string& name) {
  return app.get_option_no_throw(name) != nullptr;
}

/// What somebody may have meant by words that no option takes.
std::string hint(const CLI::App& app) {
  const CLI::App& command = app.get_subcommands().empty() ? app : *app.get_subcommands().back();
  for (const std::string& word : app.remaining(true)) {
    if (word.starts_with("-")) continue;
    if (word.find('=') != std::string::npos && has_option(command, "--set"))
      return "; each assignment has a --set of its own: --set " + word;
    if (word.ends_with(".yaml") && has_option(command, "--config"))
      return "; did you mean --config " + word + "?";
  }
  return "";
}

}  // namespace

std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv,
                                      const manual::FindWords& find_words) {
  bool parse_only = false;
  add_common_options(app, find_words);
  app.add_flag("--parse-only", parse_only)->group("");
  prepare(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::usage, std::string(error.what()) + hint(app) + " (--help shows the options)");
  }
  if (parse_only) return 0;
  return std::nullopt;
}

void add_examples(CLI::App& app, const std::vector<Example>& examples) {
  size_t width = 0;
  for (const Example& example : examples) width = std::max(width, example.command.size());
  std::string text = "Examples:";
  for (const auto& [command, comment] : examples) {
    std::string line = "\n  " + command;
    line.resize(width + 3, ' ');
    text += line + "  # " + comment;
  }
  app.footer(text);
}

void require_option(const std::string& value, const std::string& option, const std::string& example) {
  if (!value.empty()) return;
  throw Error(ErrorKind::usage, concat(option, " is required, for instance ",
                                       option.starts_with("-") ? option + " " : std::string(), example,
                                       " (--help shows the options)"));
}

std::vector<std::string> config_names() {
  std::vector<std::string> names;
  const fs::path folder = config_directory();
  if (folder.empty()) return names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml")
      names.push_back(fs::relative(entry.path(), folder).generic_string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> device_words() {
  return {"auto", "cpu", "cuda", "cuda:0"};
}

}  // namespace lotformer
