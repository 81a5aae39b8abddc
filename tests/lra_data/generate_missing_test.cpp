// SPDX-License-Identifier: MIT
// data.generate_missing, as far as it can be tested without making 665 MB: the full set is made by
// scripts/quickstart.sh.
#include "lotformer/data/listops_generator.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

DataOptions generating(const fs::path& root) {
  DataOptions options;
  options.root = root;
  options.generate_missing = true;
  return options;
}

TEST_CASE("generate_missing: files without a record are used as the official ones") {
  TemporaryFolder folder;
  small_listops(folder.path() / "listops-1000");
  const auto task = open_task("listops", generating(folder.path()));
  CHECK(task->data_origin() == "official");
  CHECK(task->open(Split::train).size() == 2);
}

TEST_CASE("generate_missing: a set made with other parameters is refused, with the way out") {
  TemporaryFolder folder;
  ListopsParameters p;
  p.train = 4;
  p.val = p.test = 2;
  p.min_length = 0;
  p.max_length = 50;
  generate_listops(folder.path(), p);
  const std::string refusal = error_of([&] { open_task("listops", generating(folder.path())); });
  CHECK(contains(refusal, "3: "));
  CHECK(contains(refusal, "train is 4, wanted 96000"));
  CHECK(contains(refusal, "data.generate_missing=false"));
  DataOptions as_it_is = generating(folder.path());
  as_it_is.generate_missing = false;
  CHECK(open_task("listops", as_it_is)->data_origin() == "synthetic");

  fs::remove(folder.path() /
             "listops-1000/basic_val.tsv");  // incomplete and other: still refused, never mixed
  CHECK(contains(error_of([&] { open_task("listops", generating(folder.path())); }),
                 "train is 4, wanted 96000"));
}

TEST_CASE("generate_missing: a partial set without a record is not completed") {
  TemporaryFolder folder;
  write_text(folder.path() / "listops-1000/basic_train.tsv", kTwoRows);
  CHECK(contains(error_of([&] { open_task("listops", generating(folder.path())); }),
                 "3: listops-1000/basic_val.tsv: not found"));
  CHECK(!fs::exists(folder.path() / "listops-1000/SYNTHETIC.json"));
}

TEST_CASE("provenance: origin, broken records, files that do not fit their record") {
  TemporaryFolder folder;
  const fs::path record = folder.path() / "listops-1000/SYNTHETIC.json";
  small_listops(folder.path() / "listops-1000");
  DataOptions options;
  options.root = folder.path();
  const auto open = [&] { return open_task("listops", options); };

  write_text(record, R"({"task": "listops", "origin": "synthetic"})");
  CHECK(open()->data_origin() == "synthetic");
  CHECK(contains(open()->references()[0].source, "measured"));
  write_text(record, R"({"generator": "somebody's"})");
  CHECK(open()->data_origin() == "synthetic");
  write_text(record, R"({"task": "image"})");
  CHECK(contains(error_of(open), "3: listops-1000/SYNTHETIC.json: is a record of the task 'image'"));
  ListopsParameters p;
  p.train = 7;  // of any size and seed
  p.seed = 3;
  const auto generated = [&] {
    write_text(record, to_line(Json{{"origin", "generated"}, {"parameters", to_json(p)}}));
    return open()->data_origin();
  };
  CHECK(generated() == "generated");
  CHECK(open()->references()[0].source == "official distribution");
  p.max_depth = 9;
  CHECK(generated() == "synthetic");
  write_text(record, R"({"origin": "generated"})");
  CHECK(open()->data_origin() == "synthetic");
  for (const std::string broken : {"", "{", "[1]", "3"}) {
    write_text(record, broken);
    CHECK(contains(error_of(open), "3: listops-1000/SYNTHETIC.json: provenance record"));
  }
  write_text(record, R"({"files": {"basic_val.tsv": {"bytes": 7}}})");
  CHECK(contains(error_of(open), "3: listops-1000/basic_val.tsv: has "));
  write_text(record, R"({"files": {"basic_val.tsv": {"bytes": "7"}}})");
  CHECK(contains(error_of(open), "3: listops-1000/SYNTHETIC.json: member 'bytes' has the wrong type"));
  fs::remove(record);
  write_text(folder.path() / "SYNTHETIC.json", R"({"origin": "synthetic"})");  // at the root of several tasks
  CHECK(open()->data_origin() == "synthetic");
}

}  // namespace
}  // namespace lotformer::data::test
