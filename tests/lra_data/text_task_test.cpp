// SPDX-License-Identifier: MIT
// The Text task: layouts, order, cut, validation sets, characters, links, provenance.
#include <set>

#include "lotformer/core/rng.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

/// Twenty reviews of each class in both splits; "t" or "e" and the id tell them apart.
void write_reviews(const fs::path& directory) {
  for (const std::string split : {"train", "test"}) {
    for (int id = 0; id < 20; ++id) {
      const std::string text = concat(split[1], " review ", id);
      write_text(directory / split / "neg" / concat(id, "_", 1 + id % 4, ".txt"), "bad " + text);
      write_text(directory / split / "pos" / concat(id, "_", 7 + id % 4, ".txt"), "good " + text);
    }
  }
}

std::string text_of(const Dataset& dataset, int64_t row) {
  const auto bytes = dataset.bytes(row);
  return {bytes.begin(), bytes.end()};
}

std::set<std::string> texts(const Dataset& dataset) {
  std::set<std::string> result;
  for (int64_t row = 0; row < dataset.size(); ++row) result.insert(text_of(dataset, row));
  return result;
}

TEST_CASE("text: found at every level, and the message says where it was looked for") {
  for (const std::string level : {"aclImdb", "lra_release/aclImdb", "lra_release/lra_release/aclImdb", "."}) {
    INFO(level);
    TemporaryFolder folder;
    write_reviews(folder.path() / level);
    const auto task = open_task("text", options_at(folder.path()));
    CHECK(task->open(Split::train).size() == 40);
    CHECK(task->data_origin() == "official");
    CHECK(task->class_names() == std::vector<std::string>{"neg", "pos"});
    CHECK(task->num_classes() == 2);
    CHECK(task->max_length() == 4000);
    write_text(folder.path() / level / "test/pos/7_8.txt", "");
    const std::string prefix = level == "." ? "" : level + "/";
    CHECK(contains(error_of([&] { open_task("text", options_at(folder.path()))->open(Split::test); }),
                   "3: " + prefix + "test/pos/7_8.txt: review is empty"));
  }
  TemporaryFolder empty;
  const std::string error = error_of([&] { open_task("text", options_at(empty.path())); });
  CHECK(contains(error, "3: aclImdb/train/neg: not found; looked in "));
  CHECK(contains(error, (empty.path() / "lra_release/lra_release/aclImdb").string()));
}

TEST_CASE("text: white space goes at both ends only, and rows are cut at max_length") {
  TemporaryFolder folder;
  write_reviews(folder.path());
  write_text(folder.path() / "train/neg/0_1.txt", " \t\n\v\f\r a<br />\n b \xff\xc3 \r\n");
  DataOptions options = options_at(folder.path());
  const Dataset whole = open_task("text", options)->open(Split::train);
  CHECK(text_of(whole, 0) == "a<br />\n b \xff\xc3");
  CHECK(whole.id_offset() == 1);
  CHECK(whole.cut_examples() == 0);
  options.max_length = 5;
  LogObserver log;
  const auto task = open_task("text", options);
  CHECK(text_of(task->open(Split::train), 0) == "a<br ");
  CHECK(task->open(Split::train).cut_examples() == 40);
  CHECK(task->open(Split::train).property(0, 0) == 13);
  CHECK(task->attributes().at(0).value(task->open(Split::train), 0) == 13);
  CHECK(task->max_length() == 5);
  CHECK(log.has("text train: 40 reviews; the official set has 25,000"));
}

TEST_CASE("text: validation is the test set, and says so, or a holdout") {
  TemporaryFolder folder;
  write_reviews(folder.path());
  DataOptions options = options_at(folder.path());
  {
    LogObserver log;
    const auto task = open_task("text", options);
    CHECK(task->val_is_test());
    CHECK(task->open(Split::val).fingerprint() == task->open(Split::test).fingerprint());
    CHECK(log.has("validation uses the test files"));
    CHECK(task->open(Split::train).size() == 40);
  }
  options.val = "holdout";
  LogObserver log;
  const auto task = open_task("text", options);
  const Dataset train = task->open(Split::train), val = task->open(Split::val);
  CHECK_FALSE(task->val_is_test());
  CHECK_FALSE(log.has("validation uses the test files"));
  CHECK(train.size() == 36);
  CHECK(val.size() == 4);
  CHECK(task->open(Split::test).size() == 40);
  std::set<std::string> wanted, all = texts(train);
  const auto order = mt_permutation(20, 42);
  for (const uint32_t id : {order[18], order[19]}) {
    wanted.insert(concat("bad r review ", id));
    wanted.insert(concat("good r review ", id));
  }
  CHECK(texts(val) == wanted);
  all.insert(wanted.begin(), wanted.end());
  CHECK(all.size() == 40);  // nothing twice, nothing lost
  CHECK(train.fingerprint() != val.fingerprint());
}

TEST_CASE("text: characters by frequency, from the training files, with an end token") {
  TemporaryFolder folder;
  for (const std::string name :
       {"train/neg/0_1.txt", "train/pos/0_7.txt", "test/neg/0_1.txt", "test/pos/0_7.txt"})
    write_text(folder.path() / name, "x");
  const std::string e_acute = "\xc3\xa9", euro = "\xe2\x82\xac", treble = "\xf0\x9d\x84\x9e";
  std::string train;
  for (int i = 0; i < 15; ++i) train += "b" + e_acute + (i < 14 ? euro : "");  // 15, 15, 14 times
  for (int i = 0; i < 16; ++i) train += treble;
  write_text(folder.path() / "train/neg/0_1.txt", train);
  write_text(folder.path() / "test/neg/0_1.txt", " b" + treble + euro + e_acute + "q ");
  DataOptions options = options_at(folder.path());
  options.tokenizer = "char";
  for (int run = 0; run < 2; ++run) {  // the second time the numbering comes from the cache
    const auto task = open_task("text", options);
    CHECK(task->vocab_size() == 6);
    CHECK(task->max_length() == 4096);
    const Dataset test = task->open(Split::test);
    CHECK(test.id_offset() == 0);
    CHECK(ids(test, 0) == std::vector<int>{4, 3, 1, 5, 1, 2});  // treble, b, e; the rest unknown; end
    CHECK(test.property(0, 0) == 5);
  }
  options.max_length = 3;
  const Dataset cut = open_task("text", options)->open(Split::test);
  CHECK(ids(cut, 0).size() == 3);
  CHECK(ids(cut, 0).back() == 2);
  CHECK(cut.cut_examples() == 1);
  options.max_length = 0;
  write_text(folder.path() / "train/neg/0_1.txt",
             std::string(20, 'q'));  // other training text, other numbers
  const auto changed = open_task("text", options);
  CHECK(changed->vocab_size() == 4);
  CHECK(ids(changed->open(Split::test), 0) == std::vector<int>{1, 1, 1, 1, 3, 2});
}

TEST_CASE("text: what is not UTF-8, for characters only") {
  const std::vector<std::string> wrong = {
      "a\xff",        "a\xc3(",           "\xc0\x80",         "\xe0\x80\x80",
      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80", "a\xe2\x82"};
  for (const std::string& text : wrong) {
    INFO(quoted(text));
    TemporaryFolder folder;
    write_reviews(folder.path());
    write_text(folder.path() / "test/pos/3_10.txt", text);
    DataOptions options = options_at(folder.path());
    CHECK(open_task("text", options)->open(Split::test).size() == 40);
    options.tokenizer = "char";
    const auto task = open_task("text", options);
    CHECK(contains(error_of([&] { task->open(Split::test); }), "3: test/pos/3_10.txt: is not valid UTF-8"));
  }
}

TEST_CASE("text: one id and rating may not come twice; one id with two ratings may") {
  TemporaryFolder folder;
  write_reviews(folder.path());
  const auto open = [&] { open_task("text", options_at(folder.path()))->open(Split::train); };
  write_text(folder.path() / "train/pos/0_8.txt", "another");
  CHECK(error_of(open) == "no error");
  write_text(folder.path() / "train/pos/00_7.txt", "the same");
  CHECK(error_of(open) == "3: train/pos/00_7.txt: has the id and rating of train/pos/0_7.txt");
}

TEST_CASE("text: links may not leave the folder") {
  TemporaryFolder folder, outside;
  write_reviews(folder.path());
  write_text(outside.path() / "secret", "secret");
  const fs::path link = folder.path() / "train/pos/99_9.txt";
  fs::create_symlink(outside.path() / "secret", link);
  const auto open = [&] { open_task("text", options_at(folder.path()))->open(Split::train); };
  CHECK(contains(error_of(open), "3: train/pos/99_9.txt: is a link whose path leaves the data directory"));
  fs::remove(link);
  fs::create_symlink("0_7.txt", link);
  CHECK(error_of(open) == "no error");
  fs::remove(link);
  fs::create_symlink("nowhere", link);
  CHECK(contains(error_of(open), "3: train/pos/99_9.txt: not found"));
}

TEST_CASE("text: a provenance record beside the files or at the root") {
  for (const std::string place : {"aclImdb/SYNTHETIC.json", "SYNTHETIC.json"}) {
    TemporaryFolder folder;
    write_reviews(folder.path() / "aclImdb");
    write_text(folder.path() / place, R"({"generator": "g", "task": "text", "origin": "synthetic"})");
    CHECK(open_task("text", options_at(folder.path()))->data_origin() == "synthetic");
    write_text(folder.path() / place, R"({"task": "text", "files": {"../x": {"bytes": 1}}})");
    CHECK(contains(error_of([&] { open_task("text", options_at(folder.path())); }),
                   "a path that leaves its folder"));
  }
}

TEST_CASE("text: the cache follows one changed review and an added one") {
  TemporaryFolder folder;
  write_reviews(folder.path());
  const auto open = [&] { return open_task("text", options_at(folder.path()))->open(Split::train); };
  const std::string before = open().fingerprint();
  LogObserver log;
  CHECK(open().fingerprint() == before);
  CHECK_FALSE(log.has("is not used"));
  write_text(folder.path() / "train/pos/5_8.txt", "changed");
  CHECK(open().fingerprint() != before);
  CHECK(log.has("train-byte-4000.cache is not used: the data files or the reader have changed"));
  write_text(folder.path() / "train/pos/50_8.txt", "added");
  CHECK(open().size() == 41);
}

TEST_CASE("text: options that do not apply") {
  TemporaryFolder folder;
  write_reviews(folder.path());
  const auto refusal = [&](const std::function<void(DataOptions&)>& change) {
    DataOptions options = options_at(folder.path());
    change(options);
    return error_of([&] { open_task("text", options); });
  };
  CHECK(contains(
      refusal([](DataOptions& o) { o.tokenizer = "alnum"; }),
      "2: data.tokenizer: tokenizer alnum applies to listops only, not to text; use default or char"));
  CHECK(contains(refusal([](DataOptions& o) { o.vocab = "s4"; }), "2: data.vocab"));
  CHECK(contains(refusal([](DataOptions& o) { o.strict_counts = false; }),
                 "2: data.strict_counts: strict_counts false applies to image and pathfinder only"));
  CHECK(contains(refusal([](DataOptions& o) { o.verify_labels = true; }),
                 "2: data.verify_labels: verify_labels true applies to listops only"));
  CHECK(contains(refusal([](DataOptions& o) { o.append_eos = true; }), "2: data.append_eos"));
  CHECK(contains(refusal([](DataOptions& o) { o.mask_zero_pixels = true; }), "2: data.mask_zero_pixels"));
  CHECK(contains(refusal([](DataOptions& o) { o.split = "tfds"; }), "2: data.split"));
  CHECK(contains(refusal([](DataOptions& o) { o.generate_missing = true; }), "2: data.generate_missing"));
  CHECK(contains(refusal([](DataOptions& o) { o.pad_to = 3999; }), "2: data.pad_to"));
  CHECK(contains(refusal([](DataOptions& o) { o.tokenizer = "char", o.max_length = 1; }),
                 "2: data.max_length"));
  CHECK(refusal([](DataOptions& o) { o.tokenizer = "char", o.append_eos = true, o.pad_to = 4096; }) ==
        "no error");
}

}  // namespace
}  // namespace lotformer::data::test
