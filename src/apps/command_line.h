// SPDX-License-Identifier: MIT
// What the programs share at their command line.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "lotformer/core/json.h"

namespace lotformer {

/// Parses; returns the exit code when the program is to end (--help: 0). A wrong command line is Error(usage)
/// in one line.
std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv);

/// Error(usage) with an example when an option that must be given is empty.
void require_option(const std::string& value, const std::string& option, const std::string& example);

}  // namespace lotformer
