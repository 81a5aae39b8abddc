// SPDX-License-Identifier: MIT
// The rows of the task table: they say what the opened tasks are, and their rules have one wording.
#include <algorithm>

#include "example_task.h"
#include "lotformer/core/json.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

TEST_CASE("task table: a row says what the opened task is") {
  TemporaryFolder folder;
  fs::copy(fs::path(LOTFORMER_TEST_DATA) / "fixtures", folder.path(), fs::copy_options::recursive);
  std::vector<std::string> opened;
  for (const TaskSpec& spec : task_specs()) {
    INFO(spec.name);
    DataOptions options;
    options.root = folder.path();
    if (spec.accepts("strict_counts", "false")) options.strict_counts = false;
    std::unique_ptr<Task> task;
    if (error_of([&] { task = open_task(spec, options); }) != "no error") continue;
    opened.emplace_back(spec.name);
    CHECK(task->name() == spec.name);
    CHECK(task->sequences() == spec.sequences);
    CHECK(task->max_length() == spec.length.longest(options));
    const Dataset train = task->open(Split::train);
    CHECK(train.sequences() == spec.sequences);
    CHECK((train.fixed_bytes() > 0) == spec.length.fixed);
    const Vocabulary vocabulary = task->vocabulary();
    CHECK(vocabulary.kind == spec.vocabulary);
    CHECK(static_cast<int64_t>(vocabulary.tokens.size()) == task->vocab_size());
  }
  for (const char* name : {"listops", "text", "retrieval", "image", "pathfinder32"}) {
    INFO(name);
    CHECK(std::count(opened.begin(), opened.end(), name) == 1);
  }
}

TEST_CASE("task table: lengths with the tokenisers that have their own") {
  DataOptions plain, characters, s4, given;
  characters.tokenizer = "char";
  s4.vocab = "s4";
  given.max_length = 7;
  CHECK(find_task("text").length.longest(plain) == 4000);
  CHECK(find_task("text").length.longest(characters) == 4096);
  CHECK(find_task("retrieval").length.longest(characters) == 4000);
  CHECK(find_task("listops").length.longest(s4) == 2048);
  CHECK(find_task("pathx").length.longest(plain) == 16384);
  CHECK(find_task("custom").length.longest(plain) == 0);  // the files decide
  CHECK(find_task("custom").length.longest(given) == 7);
}

TEST_CASE("task table: a rule reads the same in a configuration and for options from C++") {
  const TaskKinds kinds = task_kinds();
  CHECK(kinds.names.size() == task_specs().size());
  DataOptions options;
  options.root = "/nowhere";  // the rules come before the files
  options.val = "holdout";
  for (const TaskSpec& spec : task_specs()) {
    INFO(spec.name);
    const std::string name(spec.name);
    const std::vector<Conflict> conflicts = kinds.conflicts(name, options);
    if (spec.name == "text") {
      CHECK(conflicts.empty());
      continue;
    }
    REQUIRE(conflicts.size() == 1);
    CHECK(conflicts[0].keys == std::vector<std::string>{"data.val", "task"});
    CHECK(conflicts[0].message == concat("val holdout applies to text only, not to ", name, "; use test"));
    CHECK(error_of([&] { open_task(name, options); }) == "2: data.val: " + conflicts[0].message);
  }
  options = {};
  options.tokenizer = "ids";
  CHECK(kinds.conflicts("custom", options).empty());
  CHECK(kinds.conflicts("listops", options).at(0).message ==
        "tokenizer ids applies to custom only, not to listops; use default or alnum");
  options = {};
  options.split = "tfd";
  CHECK(kinds.conflicts("image", options).at(0).message ==
        "split tfd is no value of image; use default or tfds or torch42 or sequential; did you mean 'tfds'?");
  options = {};
  options.append_eos = true;
  CHECK(kinds.conflicts("custom", options).at(0).message ==
        "append_eos true applies to listops, text and retrieval only, not to custom; use false");
}

TEST_CASE("example task: opens, and says where a line is wrong") {
  TemporaryFolder folder;
  for (const char* name : {"train.txt", "val.txt", "test.txt"})
    write_text(folder.path() / "parity" / name, "0110\n1\n");
  DataOptions options;
  options.root = folder.path();
  const TaskSpec spec = parity_spec();
  const auto task = open_task(spec, options);
  const Dataset train = task->open(Split::train);
  CHECK(train.size() == 2);
  CHECK(ids(train, 0) == std::vector<int>{0, 1, 1, 0});
  CHECK(train.label(0) == 0);
  CHECK(train.label(1) == 1);
  CHECK(task->vocab_size() == 3);
  CHECK(task->max_length() == 64);
  CHECK(task->data_origin() == "custom");
  CHECK(task->references().at(0).accuracy == 0.5);
  write_text(folder.path() / "parity/val.txt", "01\n012\n");
  CHECK(error_of([&] { task->open(Split::val); }) == "3: parity/val.txt:2: '012' is not a word of 0 and 1");
  options.grey = "pil";
  CHECK(error_of([&] { open_task(spec, options); }) ==
        "2: data.grey: grey pil applies to image only, not to parity; use default");
}

TEST_CASE("example task: docs/adding-a-task.md quotes the file that is built") {
  const std::string page = read_text(fs::path(LOTFORMER_SOURCE_DIR) / "docs/adding-a-task.md");
  for (const char* name : {"example_task.cpp", "example_task.h"}) {
    INFO(name);
    const std::string file = read_text(fs::path(LOTFORMER_SOURCE_DIR) / "tests/lra_data" / name);
    CHECK(contains(page, "```cpp\n" + file + "```\n"));
  }
}

}  // namespace
}  // namespace lotformer::data::test
