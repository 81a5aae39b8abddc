// SPDX-License-Identifier: MIT
// lotformer-data: makes, checks and shows data sets.
#include <array>

#include "apps/data/command.h"
#include "command_line.h"
#include "lotformer/core/program.h"

int main(int argc, char** argv) {
  using namespace lotformer;
  return run_program("lotformer-data", [&] {
    CLI::App app("Makes, checks and shows Long Range Arena data. Exit codes: 0 ok, 2 usage, 3 data, 5 disk.",
                 "lotformer-data");
    app.require_subcommand(1);
    const std::array commands = {data_program::add_generate(app), data_program::add_check(app),
                                 data_program::add_stats(app), data_program::add_show(app)};
    add_examples(app, {{"lotformer-data generate --task listops --root data/lra", "100,000 rows, seconds"},
                       {"lotformer-data check --task text --root data/lra", "are the files whole?"},
                       {"lotformer-data show --task image --row 7 --split test", "one example"}});
    if (const auto code = parse_command_line(app, argc, argv, data_program::value_words)) return *code;
    for (const data_program::Command& command : commands) {
      if (command.app->parsed()) return command.run();
    }
    return 0;
  });
}
