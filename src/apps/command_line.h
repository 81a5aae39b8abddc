// SPDX-License-Identifier: MIT
// What the programs share at their command line.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/manual/manual.h"
#include "lotformer/core/json.h"

namespace lotformer {

/// Parses; returns the exit code when the program is to end (--help: 0). A wrong command line is Error(usage)
/// in one line. Adds what every program has: --version, --man, --completion (with `find_words`, what may
/// stand for a value) and the unlisted --parse-only, which stops here with 0 when the command line is well
/// formed.
std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv,
                                      const manual::FindWords& find_words = {});

struct Example {
  std::string command, comment;
};
/// The end of --help and of the manual page: commands that can be copied, each with a comment.
void add_examples(CLI::App& app, const std::vector<Example>& examples);

/// Error(usage) with an example when an option that must be given is empty.
void require_option(const std::string& value, const std::string& option, const std::string& example);

/// Names of the configuration files that --config finds by itself: "lra/listops.yaml".
std::vector<std::string> config_names();
/// What --device may be.
std::vector<std::string> device_words();

}  // namespace lotformer
