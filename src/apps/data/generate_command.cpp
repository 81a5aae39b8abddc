// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "apps/data/command.h"
#include "lotformer/core/text.h"
#include "lotformer/data/generate.h"
#include "lotformer/data/task.h"

namespace lotformer::data_program {
namespace {

struct GenerateArguments {
  Target target;
  data::GenerateRequest request;
};

const data::TaskSpec& find_generator(const std::string& task) {
  std::vector<std::string> names;
  for (const data::TaskSpec& spec : data::task_specs()) {
    if (spec.generator.make == nullptr) continue;
    if (spec.name == task) return spec;
    names.emplace_back(spec.name);
  }
  throw Error(ErrorKind::usage, concat("--task: there is no generator for ", quoted(task),
                                       "; known: ", join(names, ", "), did_you_mean(task, names)));
}

/// An option of another task has no effect, and is an error instead.
void refuse_other_options(const CLI::App& app, const data::TaskSpec& task) {
  constexpr std::array<std::string_view, 5> kCommon = {"--seed", "--train", "--test", "--task", "--root"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    const auto is_name = [&](std::string_view other) { return other == name; };
    if (option->count() == 0 || name == "--json" || std::any_of(kCommon.begin(), kCommon.end(), is_name) ||
        std::any_of(task.generator.options.begin(), task.generator.options.end(), is_name))
      continue;
    throw Error(ErrorKind::usage,
                concat("generate: ", name, " does not belong to ", task.name,
                       name == "--val" ? ", whose validation set is cut from the others (data.val)" : ""));
  }
}

void add_options(CLI::App& app, data::GenerateRequest& a) {
  const auto option = [&app](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->check(whole_number);
  };
  app.add_option("--seed", a.seed,
                 "of the random numbers; 0 of ListOps is the set that training makes by itself")
      ->check(seed_number)
      ->capture_default_str();
  option("--train", a.train, "examples of the training split; default: the official number");
  option("--val", a.val,
         "of the validation split (image: a ninth of --train, pathfinder: an eighth, text: none)");
  option("--test", a.test, "of the test split (pathfinder: an eighth of --train)");
  option("--min-length", a.min_length, "listops: more tokens than this, without parentheses (default 500)");
  option("--max-length", a.max_length, "listops: fewer tokens than this (default 2000)");
  option("--max-depth", a.max_depth, "listops: levels of a tree; a lone digit has depth 1 (default 10)");
  option("--max-args", a.max_args, "listops: arguments of an operator, 2 to this many (default 10)");
  option("--min-bytes", a.min_bytes, "retrieval: of a document (default 1000)");
  option("--max-bytes", a.max_bytes, "retrieval: of a document (default 12000)");
  app.add_flag("--long-range", a.long_range, "text: label words in the last fifth of a review only");
}

}  // namespace

Command add_generate(CLI::App& program) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* app = program.add_subcommand(
      "generate",
      "make a data set; equal parameters give equal bytes. ListOps is made by the official algorithm, "
      "all others are synthetic stand-ins");
  arguments->target.add_to(*app);
  app->get_option("--task")->required();
  add_options(*app, arguments->request);
  add_examples(*app,
               {{"lotformer-data generate --task listops --root data/lra", "the official numbers"},
                {"lotformer-data generate --task pathx --root data/try --train 800", "a small stand-in"}});
  return {app, [arguments, app] {
            const data::TaskSpec& task = find_generator(arguments->target.task);
            refuse_other_options(*app, task);
            arguments->request.root = arguments->target.root;
            arguments->request.difficulty = arguments->target.difficulty;
            const data::GeneratedSet result = task.generator.make(arguments->request);
            arguments->target.print(result.object, result.text);
            return 0;
          }};
}

}  // namespace lotformer::data_program
