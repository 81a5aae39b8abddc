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

std::string summarise_results(const Json& r) {
  const auto score = [](const Json& s) {
    return concat(format_fixed(100 * s.at("accuracy").get<double>(), 2), " % (loss ",
                  format_fixed(s.at("loss").get<double>(), 4), ", ", s.at("examples").get<int64_t>(),
                  s.value("partial", false) ? concat(" of ", s.at("available").get<int64_t>()) : "",
                  " examples, step ", s.at("step").get<int64_t>(), ")");
  };
  std::string text = concat(r.at("task").get<std::string>(), " ", r.at("attention").get<std::string>(),
                            ", protocol ", r.at("protocol").get<std::string>(),
                            ", data_origin: ", r.at("data_origin").get<std::string>(), "\n");
  text += "  validation, best checkpoint: " + score(r.at("val")) + "\n";
  text += "  test, best checkpoint:       " + score(r.at("test")) + "\n";
  text += "  test, last checkpoint:       " + score(r.at("last").at("test")) + "\n";
  for (const Json& reference : r.at("references")) {
    text += concat("  reference, ", reference.at("name").get<std::string>(), ": ",
                   format_fixed(100 * reference.at("accuracy").get<double>(), 1), " % (",
                   reference.at("source").get<std::string>(), ")\n");
  }
  return text;
}

}  // namespace lotformer
