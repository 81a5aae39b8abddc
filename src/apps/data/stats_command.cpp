// SPDX-License-Identifier: MIT
#include <memory>

#include "apps/data/command.h"
#include "lotformer/data/stats.h"

namespace lotformer::data_program {

Command add_stats(CLI::App& program) {
  struct Arguments {
    Target target;
    std::string split;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app =
      program.add_subcommand("stats", "class balance, histogram of lengths, most frequent tokens");
  arguments->target.add_to(*app);
  arguments->target.add_configuration(*app);
  app->add_option("--split", arguments->split, "train, val or test (default: all)")
      ->type_name("SPLIT")
      ->check(CLI::IsMember({"train", "val", "test"}));
  add_examples(*app, {{"lotformer-data stats --task text --root data/lra --split train", "one split"},
                      {"lotformer-data stats --config lra/listops.yaml --json", "for a script"}});
  return {app, [arguments] {
            std::optional<data::Split> only;
            if (!arguments->split.empty()) only = split_of(arguments->split);
            const Source source = arguments->target.source();
            const Json found = data::task_stats(source.task, source.options, only);
            arguments->target.print(found, data::describe_stats(found));
            return 0;
          }};
}

}  // namespace lotformer::data_program
