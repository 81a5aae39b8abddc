// SPDX-License-Identifier: MIT
// lotformer-data: makes and checks data sets.
#include <CLI/CLI.hpp>
#include <iostream>

#include "lotformer/core/error.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/data/check.h"
#include "lotformer/data/listops_generator.h"

namespace {

using namespace lotformer;

struct Arguments {
  std::string task;
  std::string root = data::DataOptions{}.root.string();
  bool json = false;
  data::ListopsParameters listops;
};

int generate(const Arguments& arguments) {
  if (arguments.task != "listops") {
    throw Error(ErrorKind::usage,
                "generate: there is no generator for task " + quoted(arguments.task) + "; known: listops");
  }
  const data::ListopsGeneration made = data::generate_listops(arguments.root, arguments.listops);
  std::cout << (arguments.json ? to_line(to_json(made)) : describe(made)) << std::endl;
  return 0;
}

int check(const Arguments& arguments) {
  data::DataOptions options;
  options.root = arguments.root;
  const Json found = data::check_task(arguments.task, options);
  std::cout << (arguments.json ? to_line(found) + "\n" : data::describe_check(found)) << std::flush;
  return 0;
}

void add_common(CLI::App& command, Arguments& arguments) {
  command.add_option("--task", arguments.task, "task of the Long Range Arena: listops")->required();
  command.add_option("--root", arguments.root, "data folder (data.root of a configuration)")
      ->capture_default_str();
  command.add_flag("--json", arguments.json, "one JSON object on stdout and nothing else there");
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("lotformer-data", [&] {
    Arguments arguments;
    CLI::App app("Makes and checks Long Range Arena data. Exit codes: 0 ok, 2 usage, 3 data, 5 disk.");
    app.require_subcommand(1);
    auto& make = *app.add_subcommand("generate", "make a data set; equal parameters give equal bytes");
    auto& verify = *app.add_subcommand("check", "read every file, verify every label, sum up");
    add_common(make, arguments);
    add_common(verify, arguments);
    auto& p = arguments.listops;
    const auto option = [&make](const char* name, auto& value, const char* help) {
      make.add_option(name, value, help)->capture_default_str()->check(CLI::NonNegativeNumber);
    };
    option("--seed", p.seed, "seed of the random numbers; 0 is the set that training makes by itself");
    option("--train", p.train, "rows of the training split");
    option("--val", p.val, "rows of the validation split");
    option("--test", p.test, "rows of the test split");
    option("--min-length", p.min_length, "expressions have more tokens than this, parentheses not counted");
    option("--max-length", p.max_length, "expressions have fewer tokens than this");
    option("--max-depth", p.max_depth, "levels of a tree; a lone digit has depth 1");
    option("--max-args", p.max_args, "arguments of an operator: 2 to this many");
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app.exit(error);  // --help
      throw Error(ErrorKind::usage, concat(error.what(), " (see --help)"));
    }
    return make.parsed() ? generate(arguments) : check(arguments);
  });
}
