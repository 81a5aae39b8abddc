// SPDX-License-Identifier: MIT
#include <memory>

#include "apps/data/command.h"
#include "lotformer/data/check.h"

namespace lotformer::data_program {

Command add_check(CLI::App& program) {
  auto target = std::make_shared<Target>();
  CLI::App* app = program.add_subcommand("check", "read every file, verify what can be verified, sum up");
  target->add_to(*app);
  target->add_configuration(*app);
  add_examples(*app,
               {{"lotformer-data check --task text --root data/lra", "the benchmark's reading"},
                {"lotformer-data check --config lra/text.yaml --set data.val=holdout", "a run's reading"}});
  return {app, [target] {
            const Source source = target->source();
            const Json found = data::check_task(source.task, source.options);
            target->print(found, data::describe_check(found));
            return 0;
          }};
}

}  // namespace lotformer::data_program
