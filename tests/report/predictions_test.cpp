// SPDX-License-Identifier: MIT
#include "report/predictions.h"

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

using lotformer::test::TemporaryFolder;
using test::write_text;

std::optional<PredictionTable> read(const std::string& text, std::vector<std::string>& notes) {
  const TemporaryFolder folder;
  write_text(folder.path() / "evaluation/predictions.tsv", text);
  return read_predictions(folder.path(), notes);
}

TEST_CASE("report: predictions, confusion matrix, accuracy by length") {
  std::vector<std::string> notes;
  const auto table = read(
      "row\tlabel\tprediction\tlength\tp:cat\tp:dog\tlogit:cat\tlogit:dog\n0\t0\t0\t10\t0.9\t0.1\t2.5\t0."
      "25\n1\t0\t1\t20\t0.2\t0.8\t-1\t1e-05\n2\t1\t1\t30\t0\t1\t0\t9\n3\t1\t1\t30\t0\t1\t0\t9\n",
      notes);
  REQUIRE(table);
  CHECK(notes.empty());
  CHECK(table->classes == std::vector<std::string>{"cat", "dog"});
  CHECK(table->attributes == std::vector<std::string>{"length"});
  CHECK(confusion_of(*table) == std::vector<std::vector<int64_t>>{{1, 1}, {0, 2}});
  const auto bins = accuracy_by(*table, 0, 2);
  REQUIRE(bins.size() == 2);
  CHECK(bins[0].least == 10);
  CHECK(bins[0].most == 20);
  CHECK(bins[0].accuracy == 0.5);
  CHECK(bins[1].examples == 2);
  CHECK(bins[1].accuracy == 1.0);
}

TEST_CASE("report: equal values are in one group, however many") {
  PredictionTable table;
  table.attributes = {"length"};
  table.attribute_values = {{5, 5, 5, 5, 5, 6}};
  table.label = table.prediction = {0, 0, 0, 0, 0, 0};
  const auto bins = accuracy_by(table, 0, 3);
  CHECK(bins.front().examples >= 5);
  int64_t examples = 0;
  for (const auto& bin : bins) examples += bin.examples;
  CHECK(examples == 6);
}

TEST_CASE("report: predictions that are none name their line") {
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"a\tb\n", "does not begin with"},
           {"row\tlabel\tprediction\n0\t1\n", "line 2: 2 cells"},
           {"row\tlabel\tprediction\n0\tx\t1\n", "'x' is no whole number"},
           {"row\tlabel\tprediction\n0\t-1\t1\n", "class -1 is outside"},
           {"row\tlabel\tprediction\n0\t1\t100000000\n", "is outside"},
           {"row\tlabel\tprediction\n", "has no rows"}}) {
    std::vector<std::string> notes;
    CHECK(!read(text, notes));
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], lotformer::test::contains_text(part));
  }
}

}  // namespace
}  // namespace lotformer::report
