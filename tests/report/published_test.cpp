// SPDX-License-Identifier: MIT
#include "report/published.h"

#include "lotformer/core/error.h"
#include "support/catch.h"

namespace lotformer::report {
namespace {

TEST_CASE("report: the tables of papers that come with the program") {
  const auto tables = built_in_published();
  REQUIRE(!tables.empty());
  CHECK(tables[0].rows.at(0).model == "Transformer");
  CHECK(tables[0].rows.at(0).percent.at("listops") == 36.37);
  CHECK(tasks_of(tables[0]) ==
        std::vector<std::string>{"listops", "text", "retrieval", "image", "pathfinder"});
}

TEST_CASE("report: what is wrong with a table of a paper names its line") {
  const std::string head = "- source: S\n  table: T\n  protocol: P\n";
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"a: 1", "p.yaml:1: a list of tables"},
           {"- source: [", "p.yaml:"},
           {"- source: S\n", "p.yaml:1: 'table' is missing"},
           {head + "  rows: []\n", "'rows' is no list"},
           {head + "  row: []\n", "p.yaml:4: unknown key 'row'"},
           {head + "  rows:\n    - {model: A, text: 164}\n", "p.yaml:5: 'text' is no accuracy"},
           {head + "  rows:\n    - {text: 64}\n", "'model' is missing"}}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_published(text, "p.yaml"), lotformer::test::contains_text(part));
  }
}

}  // namespace
}  // namespace lotformer::report
