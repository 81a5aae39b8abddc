// SPDX-License-Identifier: MIT
#include "lotformer/apps/command_line.h"

#include <iostream>

#include "lotformer/core/text.h"

namespace lotformer {

std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv) {
  for (CLI::Option* option : app.get_options()) {
    // Of an option given twice the last one counts, so that a script's own can be overridden; lists (--set) keep all.
    if (option->get_expected_max() == 1) option->take_last();
  }
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
