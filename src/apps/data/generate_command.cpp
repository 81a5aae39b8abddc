// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "apps/data/command.h"
#include "lotformer/core/text.h"
#include "lotformer/data/listops_generator.h"
#include "lotformer/data/synthetic_generator.h"

namespace lotformer::data_program {
namespace {

struct Arguments {
  Target target;
  uint64_t seed = 0;
  bool long_range = false;
  // Empty: the generator's own default.
  std::optional<int64_t> train, val, test, min_length, max_length, max_depth, max_args, min_bytes, max_bytes;
};

/// A set that was made: as JSON and for people.
struct Made {
  Json object;
  std::string text;
};
template <class Generation>
Made made(const Generation& generation) {
  return {to_json(generation), describe(generation) + "\n"};
}

void take(const std::optional<int64_t>& given, int64_t& value) {
  if (given) value = *given;
}

Made make_listops(const Arguments& a) {
  data::ListopsParameters p;
  p.seed = a.seed;
  take(a.train, p.train);
  take(a.val, p.val);
  take(a.test, p.test);
  take(a.min_length, p.min_length);
  take(a.max_length, p.max_length);
  take(a.max_depth, p.max_depth);
  take(a.max_args, p.max_args);
  return made(data::generate_listops(a.target.root, p));
}

Made make_text(const Arguments& a) {
  data::TextParameters p;
  p.seed = a.seed;
  p.long_range = a.long_range;
  take(a.train, p.train);
  take(a.test, p.test);
  return made(data::generate_text(a.target.root, p));
}

Made make_retrieval(const Arguments& a) {
  data::RetrievalParameters p;
  p.seed = a.seed;
  take(a.train, p.train);
  take(a.val, p.val);
  take(a.test, p.test);
  take(a.min_bytes, p.min_bytes);
  take(a.max_bytes, p.max_bytes);
  return made(data::generate_retrieval(a.target.root, p));
}

Made make_image(const Arguments& a) {
  data::ImageParameters p;
  p.seed = a.seed;
  take(a.train, p.train);
  p.val = a.val.value_or((p.train + 8) / 9);  // as the five files are divided when they are read
  take(a.test, p.test);
  return made(data::generate_image(a.target.root, p));
}

Made make_pathfinder(const Arguments& a, int64_t size) {
  data::PathfinderParameters p;
  p.seed = a.seed;
  p.size = size;
  p.difficulty = a.target.difficulty;
  take(a.train, p.train);
  p.val = a.val.value_or(p.train / 8);
  p.test = a.test.value_or(p.val);
  return made(data::generate_pathfinder(a.target.root, p));
}

struct Generator {
  std::string_view task;
  Made (*make)(const Arguments&);
  std::vector<std::string_view> options;  // beyond --seed, --train and --test
};
const std::vector<Generator>& generators() {
  static const std::vector<Generator> table = {
      {"listops", make_listops, {"--val", "--min-length", "--max-length", "--max-depth", "--max-args"}},
      {"text", make_text, {"--long-range"}},
      {"retrieval", make_retrieval, {"--val", "--min-bytes", "--max-bytes"}},
      {"image", make_image, {"--val"}},
      {"pathfinder32", [](const Arguments& a) { return make_pathfinder(a, 32); }, {"--val", "--difficulty"}},
      {"pathfinder64", [](const Arguments& a) { return make_pathfinder(a, 64); }, {"--val", "--difficulty"}},
      {"pathfinder128",
       [](const Arguments& a) { return make_pathfinder(a, 128); },
       {"--val", "--difficulty"}},
      {"pathx", [](const Arguments& a) { return make_pathfinder(a, 128); }, {"--val", "--difficulty"}},
      {"pathfinder256",
       [](const Arguments& a) { return make_pathfinder(a, 256); },
       {"--val", "--difficulty"}},
  };
  return table;
}

const Generator& find_generator(const std::string& task) {
  std::vector<std::string> names;
  for (const Generator& generator : generators()) {
    if (generator.task == task) return generator;
    names.emplace_back(generator.task);
  }
  const std::string near = nearest(task, names);
  throw Error(ErrorKind::usage,
              concat("--task: there is no generator for ", quoted(task), "; known: ", join(names, ", "),
                     near.empty() ? "" : concat(" (did you mean ", near, "?)")));
}

/// An option of another task has no effect, and is an error instead.
void refuse_other_options(const CLI::App& app, const Generator& generator) {
  constexpr std::array<std::string_view, 5> kCommon = {"--seed", "--train", "--test", "--task", "--root"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    const auto is_name = [&](std::string_view other) { return other == name; };
    if (option->count() == 0 || name == "--json" || std::any_of(kCommon.begin(), kCommon.end(), is_name) ||
        std::any_of(generator.options.begin(), generator.options.end(), is_name))
      continue;
    throw Error(ErrorKind::usage,
                concat("generate: ", name, " does not belong to ", generator.task,
                       name == "--val" ? ", whose validation set is cut from the others (data.val)" : ""));
  }
}

void add_options(CLI::App& app, Arguments& a) {
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
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = program.add_subcommand(
      "generate",
      "make a data set; equal parameters give equal bytes. ListOps is made by the official algorithm, "
      "all others are synthetic stand-ins");
  arguments->target.add_to(*app);
  app->get_option("--task")->required();
  add_options(*app, *arguments);
  return {app, [arguments, app] {
            const Generator& generator = find_generator(arguments->target.task);
            refuse_other_options(*app, generator);
            const Made result = generator.make(*arguments);
            arguments->target.print(result.object, result.text);
            return 0;
          }};
}

}  // namespace lotformer::data_program
