// SPDX-License-Identifier: MIT
#include "command_line.h"

#include <iostream>

#include "lotformer/core/text.h"

namespace lotformer {

namespace {

/// Of an option given twice the last one counts, so that a script's own can be overridden; lists (--set) keep
/// all.
void let_last_count(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_expected_max() == 1) option->take_last();
  }
  for (CLI::App* command : app.get_subcommands({})) let_last_count(*command);
}

}  // namespace

std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv) {
  let_last_count(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::usage, std::string(error.what()) + " (--help shows the options)");
  }
  return std::nullopt;
}

void require_option(const std::string& value, const std::string& option, const std::string& example) {
  if (value.empty())
    throw Error(ErrorKind::usage, concat(option, " is required, for instance ", option, " ", example,
                                         " (--help shows the options)"));
}

}  // namespace lotformer
