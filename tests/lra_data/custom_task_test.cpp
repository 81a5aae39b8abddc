// SPDX-License-Identifier: MIT
// `task: custom`: the user's own TSV files, as texts, ids and pairs; nothing in them is skipped.
#include "data/tasks/custom.h"
#include "lotformer/data/check.h"
#include "lotformer/data/show.h"
#include "lotformer/data/stats.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

struct Files {
  std::string train, val = "0\tx\n", test = "0\ty\n";
};

DataOptions write(const TemporaryFolder& folder, const Files& files,
                  const std::string& tokenizer = "default") {
  write_text(folder.path() / "train.tsv", files.train);
  write_text(folder.path() / "val.tsv", files.val);
  write_text(folder.path() / "test.tsv", files.test);
  DataOptions options;
  options.root = folder.path();
  options.tokenizer = tokenizer;
  return options;
}

/// What opening the task and all of its splits says.
std::string error_in(const Files& files, const std::string& tokenizer = "default", int64_t max_length = 0) {
  TemporaryFolder folder;
  DataOptions options = write(folder, files, tokenizer);
  options.max_length = max_length;
  return error_of([&] {
    const auto task = open_task("custom", options);
    for (const Split split : {Split::train, Split::val, Split::test}) task->open(split);
  });
}

std::string text_of(const Dataset& dataset, int64_t row, int64_t sequence = 0) {
  const auto bytes = dataset.bytes(row, sequence);
  return {bytes.begin(), bytes.end()};
}

TEST_CASE("custom: bytes of a text, classes and length from the files") {
  TemporaryFolder folder;
  const DataOptions options = write(folder, {.train = "1\tgood\r\n0\t bad \xff\xc3 \n1\tfine",
                                             .val = "0\tlonger than all the others\n",
                                             .test = "1\tx\n0\ty\n"});
  const auto task = open_task("custom", options);
  const Dataset train = task->open(Split::train);
  CHECK(train.size() == 3);
  CHECK(text_of(train, 0) == "good");
  CHECK(text_of(train, 1) == " bad \xff\xc3 ");
  CHECK(train.label(2) == 1);
  CHECK(train.id_offset() == 1);
  CHECK(task->vocab_size() == 257);
  CHECK(task->num_classes() == 2);
  CHECK(task->class_names() == std::vector<std::string>{"0", "1"});
  CHECK(task->sequences() == 1);
  CHECK(task->max_length() == 26);
  CHECK(task->data_origin() == "custom");
  CHECK_FALSE(task->val_is_test());
  const auto references = task->references();
  REQUIRE(references.size() == 1);
  CHECK(references[0].name == "always 1");
  CHECK(references[0].accuracy == Catch::Approx(2.0 / 3.0));
  CHECK(references[0].source == "measured on the training split");
  CHECK(task->metrics().back() == "accuracy by length");
  write_text(folder.path() / "SYNTHETIC.json", R"({"task": "custom"})");
  CHECK(open_task("custom", options)->data_origin() == "synthetic");
}

TEST_CASE("custom: ids are numbers of the user's, one is added for padding") {
  TemporaryFolder folder;
  const DataOptions options =
      write(folder, {.train = "2\t5 0  7\n0\t 1 \n1\t7\n", .val = "0\t0 7\n", .test = "2\t3\n"}, "ids");
  const auto task = open_task("custom", options);
  const Dataset train = task->open(Split::train);
  CHECK(ids(train, 0) == std::vector<int>{5, 0, 7});
  CHECK(ids(train, 1) == std::vector<int>{1});
  CHECK(train.id_offset() == 1);
  CHECK(task->vocab_size() == 9);  // padding, 0 to 7
  CHECK(task->num_classes() == 3);
  CHECK(task->max_length() == 3);
  CHECK(task->vocabulary().tokens.size() == 9);
  const Example example = show_example("custom", options, Split::train, 0, Ink::plain);
  CHECK(contains(example.text, "5 0 7\n"));
  CHECK(example.object["sequences"][0]["ids"] == Json({6, 1, 8}));
  CHECK(example.object["sequences"][0]["text"] == "5 0 7");
  const Json stats = task_stats("custom", options, Split::train);
  CHECK(stats["splits"]["train"]["top_tokens"][0]["token"] == "7");
}

TEST_CASE("custom: a third column makes pairs") {
  TemporaryFolder folder;
  const DataOptions options = write(
      folder, {.train = "1\ta\tbb\n0\tccc\td\n", .val = "0\tx\tyyyy\n", .test = "1\tlonger\tz\n0\tq\tr\n"});
  const auto task = open_task("custom", options);
  CHECK(task->sequences() == 2);
  const Dataset train = task->open(Split::train);
  CHECK(train.sequences() == 2);
  CHECK(text_of(train, 0, 0) == "a");
  CHECK(text_of(train, 0, 1) == "bb");
  CHECK(text_of(train, 1, 0) == "ccc");
  CHECK(task->max_length() == 6);
  const auto attributes = task->attributes();
  REQUIRE(attributes.size() == 1);
  CHECK(attributes[0].name == "longer_length");
  CHECK(attributes[0].value(train, 1) == 3);
  const Json summary = check_task("custom", options);
  CHECK(summary["data_origin"] == "custom");
  CHECK(summary["splits"]["test"]["examples"] == 2);
  CHECK(contains(describe_check(summary), "every example reads\n"));
}

TEST_CASE("custom: cuts are counted and said, the longest row is bounded") {
  TemporaryFolder folder;
  DataOptions options = write(folder, {.train = "0\tabcdef\n1\tab\n", .val = "0\tabcd\n", .test = "1\tab\n"});
  options.max_length = 3;
  LogObserver log;
  const auto task = open_task("custom", options);
  CHECK(task->max_length() == 3);
  CHECK(text_of(task->open(Split::train), 0) == "abc");
  CHECK(task->open(Split::train).cut_examples() == 1);
  CHECK(task->open(Split::train).property(0, 0) == 6);
  CHECK(log.has("custom train: 1 of 2 rows are longer than 3 tokens and were cut"));
  options.max_length = 0;
  options.pad_to = 5;
  CHECK(error_of([&] { open_task("custom", options); }) ==
        "2: data.pad_to: pad_to 5 is less than the longest sequence, 6; raise data.pad_to, lower "
        "data.max_length, or set pad_to to 0");
  options.pad_to = 10;
  CHECK(open_task("custom", options)->max_length() == 10);
  options.pad_to = 0;
  const std::string row(kLongestCustomRow + 1, 'a');
  write_text(folder.path() / "test.tsv", "1\t" + row + "\n");
  const auto capped = open_task("custom", options);
  CHECK(capped->max_length() == kLongestCustomRow);
  CHECK(capped->open(Split::test).cut_examples() == 1);
}

TEST_CASE("custom: every fault has its file, its line and what was expected") {
  struct Fault {
    Files files;
    std::string message, tokenizer = "default";
  };
  const std::vector<Fault> faults = {
      {{.train = ""}, "3: train.tsv: file is empty (0 bytes), an example a line wanted"},
      {{.train = "0\ta\n\n1\tb\n"}, "3: train.tsv:2: blank line, an example wanted"},
      {{.train = "0\ta\n1\tb\n\n"}, "3: train.tsv:3: blank line"},
      {{.train = "\n0\ta\n"}, "3: train.tsv:1: blank line"},
      {{.train = "0 a\n"}, "3: train.tsv:1: has 1 column, 2 (label, text) or 3 (label and two texts) wanted"},
      {{.train = "0\ta\tb\tc\n"}, "3: train.tsv:1: has 4 columns, 2 (label, text) or 3"},
      {{.train = "0\ta\n1\tb\tc\n"},
       "3: train.tsv:2: has 3 columns, 2 wanted as in line 1 of train.tsv: a label and a text"},
      {{.train = "0\ta\tb\n1\tc\td\n"},
       "3: val.tsv:1: has 2 columns, 3 wanted as in line 1 of train.tsv: a label and two texts"},
      {{.train = "label\ttext\n0\ta\n"},
       "3: train.tsv:1: label 'label' is not a whole number from 0 to 65535"},
      {{.train = "0\ta\n-1\tb\n"}, "3: train.tsv:2: label '-1' is not a whole number"},
      {{.train = "0\ta\n1.0\tb\n"}, "3: train.tsv:2: label '1.0' is not a whole number"},
      {{.train = "0\ta\n65536\tb\n"}, "3: train.tsv:2: label '65536' is not a whole number"},
      {{.train = "0\ta\n1\t\n"}, "3: train.tsv:2: column 2 is empty, a text wanted"},
      {{.train = "0\ta\n2\tb\n", .test = "0\tx\n1\ty\n"},
       "3: test.tsv:2: label 1 does not occur in train.tsv"},
      {{.train = "0\ta\n1\tb\n", .val = "0\tx\n2\ty\n"}, "3: val.tsv:2: label 2 does not occur in train.tsv"},
      {{.train = "0\t1 256\n"}, "3: train.tsv:1: id '256' is not a whole number from 0 to 255", "ids"},
      {{.train = "0\t1\n1\t1 -2\n"}, "3: train.tsv:2: id '-2' is not a whole number", "ids"},
      {{.train = "0\t1\n1\t \n"}, "3: train.tsv:2: a column has blanks only, ids wanted", "ids"},
      {{.train = "0\t1\n1\t\n"}, "3: train.tsv:2: column 2 is empty, ids wanted", "ids"},
      {{.train = "0\t4\n1\t2\n", .val = "1\t2\n0\t4 5\n"},
       "3: val.tsv:2: id 5 is above 4, the largest of train.tsv",
       "ids"},
  };
  for (const Fault& fault : faults) {
    INFO(fault.message);
    const std::string error = error_in(fault.files, fault.tokenizer);
    CHECK(error.substr(0, fault.message.size()) == fault.message);
    // With a length of their own the files are read one by one, with the same result.
    CHECK(error_in(fault.files, fault.tokenizer, 100) == error);
  }
}

TEST_CASE("custom: a missing file is named, with what belongs there") {
  TemporaryFolder folder;
  const DataOptions options = write(folder, {.train = "0\ta\n1\tb\n"});
  fs::remove(folder.path() / "val.tsv");
  const std::string error = error_of([&] { open_task("custom", options); });
  CHECK(contains(error, "3: val.tsv: not found in " + folder.path().string()));
  CHECK(contains(error, "task custom reads train.tsv, val.tsv, test.tsv, lines of LABEL<TAB>TEXT"));
  TemporaryFolder empty;
  DataOptions nowhere;
  nowhere.root = empty.path();
  CHECK(contains(error_of([&] { open_task("custom", nowhere); }),
                 "3: train.tsv: not found; looked in " + empty.path().string()));
}

TEST_CASE("custom: validation is read again when training has other labels or ids") {
  TemporaryFolder folder;
  const DataOptions options =
      write(folder, {.train = "0\t1\n1\t9\n", .val = "1\t9\n", .test = "0\t1\n"}, "ids");
  open_task("custom", options)->open(Split::val);
  LogObserver log;
  CHECK(open_task("custom", options)->open(Split::val).size() == 1);
  CHECK(log.text() == "");  // both came from their caches
  write_text(folder.path() / "train.tsv", "0\t1\n1\t8\n");
  CHECK(contains(error_of([&] { open_task("custom", options)->open(Split::val); }),
                 "3: val.tsv:1: id 9 is above 8"));
  write_text(folder.path() / "train.tsv", "0\t1\n2\t9\n");
  CHECK(contains(error_of([&] { open_task("custom", options)->open(Split::val); }),
                 "3: val.tsv:1: label 1 does not occur in train.tsv"));
  CHECK(log.has("custom train: 1 of the labels 0 to 2 have no example"));
}

}  // namespace
}  // namespace lotformer::data::test
