// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "apps/data/command.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "lotformer/data/show.h"

namespace lotformer::data_program {
namespace {

struct ShowArguments {
  Target target;
  std::string split = "train", png;
  int64_t row = 0;
};

int show(const ShowArguments& a) {
  const bool colours = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  const Source source = a.target.source();
  const data::Example example = data::show_example(source.task, source.options, split_of(a.split), a.row,
                                                   colours ? data::Ink::grey : data::Ink::plain);
  if (!a.png.empty()) {
    if (example.png.empty())
      throw Error(ErrorKind::usage, concat("show: --png: an example of ", source.task, " is no picture"));
    write_atomic(a.png, example.png);
  }
  a.target.print(example.object, example.text);
  return 0;
}

}  // namespace

Command add_show(CLI::App& program) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App* app =
      program.add_subcommand("show", "one example: a tree, a review, a pair of documents, a picture");
  arguments->target.add_to(*app);
  arguments->target.add_configuration(*app);
  app->add_option("--split", arguments->split, "train, val or test")
      ->type_name("SPLIT")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "val", "test"}));
  app->add_option("--row", arguments->row, "counted from 0, in the order of the split")
      ->type_name("N")
      ->capture_default_str()
      ->check(whole_number);
  app->add_option("--png", arguments->png, "write the picture to this file as well")->type_name("FILE");
  add_examples(*app,
               {{"lotformer-data show --task listops --row 3", "a tree"},
                {"lotformer-data show --task image --split test --row 7 --png seven.png", "a picture"}});
  return {app, [arguments] { return show(*arguments); }};
}

}  // namespace lotformer::data_program
