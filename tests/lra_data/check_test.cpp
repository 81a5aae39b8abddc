// SPDX-License-Identifier: MIT
#include "lotformer/data/check.h"

#include "lotformer/data/listops_generator.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

TEST_CASE("check: sums up what is there") {
  TemporaryFolder folder;
  generate_listops(folder.path(), small_parameters());
  DataOptions options;
  options.root = folder.path();
  const Json summary = check_task("listops", options);
  CHECK(summary["task"] == "listops");
  CHECK(summary["data_origin"] == "synthetic");
  const Json& train = summary["splits"]["train"];
  CHECK(train["examples"] == 300);
  int64_t rows = 0;
  for (const auto& [label, count] : train["classes"].items()) rows += count.get<int64_t>();
  CHECK(rows == 300);
  CHECK(train["length_quartiles"].size() == 5);
  CHECK(train["length_quartiles"][0] >= 6);
  CHECK(train["length_quartiles"][4] <= 59);
  CHECK(train["cut_examples"] == 0);
  CHECK(train["fingerprint"] == open_task("listops", options)->open(Split::train).fingerprint());
  const std::string text = describe_check(summary);
  for (const std::string piece :
       {"train: 300 examples", "data origin: synthetic", "root operator alone", "fingerprint",
        "scored by: accuracy, loss, recall by class, accuracy by length", "quartiles"}) {
    CHECK(contains(text, piece));
  }
  // A file that was changed without changing its size is caught by the digest of the record.
  const fs::path path = folder.path() / "listops-1000/basic_test.tsv";
  std::string bytes = read_text(path);
  const size_t digit = bytes.find_last_of("0123456789");
  bytes[digit] = bytes[digit] == '3' ? '4' : '3';
  write_text(path, bytes);
  CHECK(contains(error_of([&] { check_task("listops", options); }),
                 "3: listops-1000/basic_test.tsv: contents differ from the digest"));
}

TEST_CASE("check: says what is unofficial, once, and when validation is the test set") {
  TemporaryFolder folder;
  small_listops(folder.path() / "listops-1000");
  for (const char* split : {"train", "test"}) {
    write_text(folder.path() / "aclImdb" / split / "neg/0_2.txt", "bad");
    write_text(folder.path() / "aclImdb" / split / "pos/0_7.txt", "good");
  }
  DataOptions options;
  options.root = folder.path();
  const auto once = [](const std::string& text, const std::string& piece) {
    return contains(text, piece) && text.find(piece) == text.rfind(piece);
  };
  {
    LogObserver log;
    CHECK(check_task("listops", options)["val_is_test"] == false);
    CHECK(once(log.text(), "listops train: 2 rows; the official set has 96,000"));
    CHECK(once(log.text(), "listops val: 2 rows; the official set has 2,000"));
  }
  {
    LogObserver log;
    const Json summary = check_task("text", options);
    CHECK(summary["val_is_test"] == true);
    CHECK(contains(describe_check(summary), "validation and test are the same examples"));
    CHECK(once(log.text(), "text train: 2 reviews"));
    CHECK(once(log.text(), "text test: 2 reviews"));
  }
  options.val = "holdout";
  CHECK(check_task("text", options)["val_is_test"] == false);
  options.val = "test";
  {
    LogObserver log;
    generate_listops(folder.path() / "made", small_parameters());
    options.root = folder.path() / "made";
    check_task("listops", options);
    CHECK(!log.has("the official set has"));
  }
}

}  // namespace
}  // namespace lotformer::data::test
