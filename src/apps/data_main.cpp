// SPDX-License-Identifier: MIT
// lotformer-data: makes and checks data sets.
#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>

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
  const data::ListopsGeneration made = data::generate_listops(arguments.root, arguments.listops);
  std::cout << (arguments.json ? to_line(to_json(made)) : describe(made)) << std::endl;
  return 0;
}

int check(const Arguments& arguments) {
  const Json found = data::check_task(arguments.task, {.root = arguments.root});
  std::cout << (arguments.json ? to_line(found) + "\n" : data::describe_check(found)) << std::flush;
  return 0;
}

std::string whole_number(const std::string& text) {  // CLI11 itself would wrap -1 and clamp 2^64
  uint64_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec == std::errc{} && end.ptr == text.data() + text.size()) return "";
  return "must be a whole number from 0 to 2^64 - 1, got " + text;
}

CLI::Option* add_common(CLI::App& command, Arguments& arguments) {
  command.add_option("--root", arguments.root, "data folder, as data.root")->capture_default_str();
  command.add_flag("--json", arguments.json, "one JSON object on stdout and nothing else there");
  return command.add_option("--task", arguments.task, "task of the Long Range Arena: listops")->required();
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("lotformer-data", [&] {
    Arguments arguments;
    CLI::App app("Makes and checks Long Range Arena data. Exit codes: 0 ok, 2 usage, 3 data, 5 disk.");
    app.set_version_flag("--version", build_id());
    app.require_subcommand(1);
    auto& make = *app.add_subcommand("generate", "make a data set; equal parameters give equal bytes");
    auto& verify = *app.add_subcommand("check", "read every file, verify every label, sum up");
    add_common(make, arguments)->check(CLI::IsMember({"listops"}));
    add_common(verify, arguments);
    auto& p = arguments.listops;
    const auto option = [&make](const char* name, auto& value, const char* help) {
      make.add_option(name, value, help)->capture_default_str()->check(whole_number);
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
    } catch (const CLI::ParseError& error) {  // --help too
      if (error.get_exit_code() == 0) return app.exit(error);
      throw Error(ErrorKind::usage, concat(error.what(), " (see --help)"));
    }
    return make.parsed() ? generate(arguments) : check(arguments);
  });
}
