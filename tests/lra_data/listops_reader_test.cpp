// SPDX-License-Identifier: MIT
// What a ListOps row may look like, and what each broken one is told. The fixtures hold the common cases;
// here are the rest.
#include "lotformer/core/rng.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const std::string kHeader = "Source\tTarget\n";

DataOptions options_for(const fs::path& root, bool verify = false) {
  DataOptions options;
  options.root = root;
  options.verify_labels = verify;
  return options;
}

/// Opens a training file of these bytes; the error without the file's name, or "no error".
std::string verdict(const std::string& train, bool verify = true) {
  TemporaryFolder folder;
  small_listops(folder.path(), train);
  return error_of([&] { open_task("listops", options_for(folder.path(), verify))->open(Split::train); });
}

std::string row_verdict(const std::string& row) {
  return verdict(kHeader + row + "\n");
}

TEST_CASE("listops reader: ids, labels, depth and length of hand-made rows") {
  TemporaryFolder folder;
  small_listops(folder.path(), kHeader + "( ( ( [MAX 3 ) ( ( ( ( [MIN 9 ) 4 ) 7 ) ] ) ) ] )\t4\n5\t5\n");
  const Dataset train = open_task("listops", options_for(folder.path(), true))->open(Split::train);
  REQUIRE(train.size() == 2);
  CHECK(ids(train, 0) == std::vector<int>{2, 9, 1, 15, 10, 13, 5, 5});
  CHECK(ids(train, 1) == std::vector<int>{11});
  CHECK(train.label(0) == 4);
  CHECK(train.label(1) == 5);
  CHECK(train.property(0, 0) == 8);
  CHECK(train.property(0, 1) == 3);
  CHECK(train.property(1, 1) == 1);
  CHECK(train.sequences() == 1);
  CHECK(train.id_offset() == 0);
  CHECK(train.cut_examples() == 0);
}

TEST_CASE("listops reader: the four operators") {
  const std::vector<std::pair<std::string, int>> expressions = {
      {"( ( ( ( [MIN 4 ) 2 ) 8 ) ] )", 2},
      {"( ( ( ( [MAX 4 ) 2 ) 8 ) ] )", 8},
      {"( ( ( ( [SM 4 ) 9 ) 8 ) ] )", 1},
      {"( ( ( ( [MED 4 ) 2 ) 8 ) ] )", 4},
      {"( ( ( ( ( [MED 4 ) 1 ) 8 ) 7 ) ] )", 5},  // (4 + 7) / 2 = 5.5, rounded down
      {"( ( ( [MED 3 ) 6 ) ] )", 4},
      {"( ( ( ( ( [MED 0 ) 0 ) 9 ) 9 ) ] )", 4},
      {"( ( [MED 7 ) ] )", 7},
      {"( ( ( [SM ( ( ( [MAX 9 ) 9 ) ] ) ) ( ( ( [MIN 9 ) 8 ) ] ) ) ] )", 7},
  };
  for (const auto& [text, value] : expressions) {
    INFO(text);
    CHECK(row_verdict(text + "\t" + std::to_string(value)) == "no error");
    const std::string wrong = row_verdict(text + "\t" + std::to_string((value + 1) % 10));
    CHECK(
        contains(wrong, concat("label ", (value + 1) % 10, ", but the value of the expression is ", value)));
  }
}

TEST_CASE("listops reader: line ends, blanks and parentheses that are accepted") {
  const std::string row = "( ( ( [MAX 3 ) 4 ) ] )\t4";
  CHECK(verdict("Source\tTarget\r\n" + row + "\r\n" + row + "\r\n") == "no error");
  CHECK(verdict("Source\tTarget\r\n" + row) == "no error");
  CHECK(verdict(kHeader + row) == "no error");
  CHECK(verdict(kHeader + row + "\r\n" + row + "\n" + row + "\r") == "no error");
  CHECK(row_verdict("  ( ( ([MAX   3 ) 4)  ] )\t4") ==
        "no error");  // deleted before the split, so glue is no matter
}

TEST_CASE("listops reader: what is wrong with a row, and where") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "blank line inside the data"},
      {"\t", "expression is empty"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t", "label '' is not an integer"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t4.0", "label '4.0' is not an integer"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t 4", "label ' 4' is not an integer"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t99999999999999999999", "label 99999999999999999999 outside 0..9"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t4\t", "row has 3 columns, 2 wanted"},
      {"( ( ( [MAX 3 ) 4 ) ] )", "row has 1 column, 2 wanted"},
      {"( [MAX ] )\t4", "close bracket directly after [MAX: at least one argument wanted"},
      {"( ( ( [MAX 3 ) 4 ) ] ) 5\t4", "token '5' after the last close bracket"},
      {"3 4\t4", "token '4' after the last close bracket"},
      {"]\t4", "close bracket without operator"},
      {"( ( ( [MAX 3 ) ( ( ( [MIN 3 ) 4 ) ] )\t4", "operator without its close bracket (1 missing"},
      {"[MAX 3 4 ]\t4", "0 '(' and 0 ')' around 4 tokens, 3 of each wanted"},
      {"( ( ( [MAX 3 ) 4 ) ]\t4", "parentheses do not match the brackets: 3 '(' and 2 ')'"},
      {"( ( ( [MAX 3 )4 4 ) ] )\t4", "parentheses do not match"},
      {") ) ) [MAX 3 ( 4 ( ] (\t4", "parentheses do not nest: ')' number 1 closes nothing"},
      {"( [MAX 3 ) 4 ) ( ] ( )\t4", "parentheses do not nest: ')' number 2 closes nothing"},
      {"( ( ( [MAX 3 ) 4 ) ] )\t04", "label '04' is not one digit"},
      {"( ( ( [MAX 3 ) 0 ) ] )\t-0", "label '-0' is not one digit"},
      {"( ( ( [MAX 3 ) 4(4 ) ] )\t4", "unknown token '44'"},
      {"( ( ( [max 3 ) 4 ) ] )\t4", "unknown token '[max'"},
      {"( ( ( [MAXI 3 ) 4 ) ] )\t4", "unknown token '[MAXI'"},
      {"( ( ( MAX 3 ) 4 ) ] )\t4", "unknown token 'MAX'"},
      {"( ( ( [MAX 3 ) X ) ] )\t4", "unknown token 'X'"},
      {"( ( ( [MAX 3 ) 4 ) ] )\r\t4", "unknown token '\\x0D'"},
      {"( ( ( [MAX 3 ) 4 ) <pad> )\t4", "unknown token '<pad>'"},
  };
  for (const auto& [row, reason] : cases) {
    INFO(row);
    const std::string error = verdict(kHeader + "( ( ( [MAX 3 ) 4 ) ] )\t4\n" + row + "\n3\t3\n");
    INFO(error);
    CHECK(error.rfind("3: basic_train.tsv:3: ", 0) == 0);
    CHECK(contains(error, reason));
  }
}

TEST_CASE("listops reader: files as a whole") {
  CHECK(contains(verdict(""), "basic_train.tsv: file is empty"));
  CHECK(contains(verdict("Source\tTarget"), "basic_train.tsv: no examples after the header"));
  CHECK(contains(verdict("\n"), "basic_train.tsv:1: header is ''"));
  CHECK(contains(verdict("\xEF\xBB\xBF" + kTwoRows),
                 "basic_train.tsv:1: begins with a byte order mark (EF BB BF)"));
  CHECK(contains(verdict("3\t3\n"), "basic_train.tsv:1: header"));
  CHECK(contains(verdict("( ( ( [MAX 3 ) 4 ) ] )\t4\n"),
                 "first line is data, the header Source<TAB>Target is missing"));
  CHECK(contains(verdict(kTwoRows + "( ( ( [MAX 3 ) 4 )"),
                 ":4: row has 1 column, 2 wanted (is the file cut short?)"));
  CHECK(contains(verdict(kTwoRows + "\n"), ":4: blank line"));
  TemporaryFolder folder;
  small_listops(folder.path());
  fs::remove(folder.path() / "basic_val.tsv");
  fs::create_directory(folder.path() / "basic_val.tsv");
  CHECK(contains(error_of([&] { open_task("listops", options_for(folder.path()))->open(Split::val); }),
                 "3: basic_val.tsv: is not a regular file"));
}

TEST_CASE("listops reader: a deeply nested row and a line without end") {
  std::string deep, tail;
  for (int i = 0; i < 20000; ++i) {
    deep += "( ( [MAX ";
    tail += " ) ] )";
  }
  CHECK(row_verdict(deep + "7" + tail + "\t7") == "no error");
  CHECK(contains(row_verdict(deep + "7\t7"), "20000 missing at the end"));
  CHECK(contains(verdict(kHeader + std::string(size_t{17} << 20, '3')), ":2: line is longer than 16.0 MiB"));
}

TEST_CASE("listops reader: damaged files are read or refused, and nothing else happens") {
  const std::string whole =
      "Source\tTarget\r\n( ( ( [MAX 3 ) ( ( ( ( [MIN 9 ) 4 ) 7 ) ] ) ) ] )\t4\r\n5\t5\n( ( [SM 7 ) ] )\t7";
  constexpr std::string_view kBytes = "()[] \t\r\n0123456789MAXS\xFF";
  Rng rng(2024);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string text = whole;
    for (uint64_t change = 0; change <= rng.below(3); ++change) {
      const size_t at = rng.below(text.size());
      switch (rng.below(3)) {
        case 0:
          text[at] = kBytes[rng.below(kBytes.size())];
          break;
        case 1:
          text.erase(at, 1 + rng.below(8));
          break;
        default:
          text.insert(at, 1, kBytes[rng.below(kBytes.size())]);
      }
    }
    INFO(text);
    const std::string result = verdict(text);
    refused += result.rfind("3: basic_train.tsv", 0) == 0 ? 1 : 0;
    CHECK((result == "no error" || result.rfind("3: basic_train.tsv", 0) == 0));
  }
  CHECK(refused > 200);
}

TEST_CASE("listops files: found at every level of the release") {
  for (const std::string place :
       {"listops-1000", "lra_release/listops-1000", "lra_release/lra_release/listops-1000", "listops",
        "lra_release/listops", "lra_release/lra_release/listops", "."}) {
    INFO(place);
    TemporaryFolder folder;
    small_listops(folder.path() / place, kHeader + "( ( [MAX 3 ) ]\t3\n");
    const auto task = open_task("listops", options_for(folder.path()));
    CHECK(task->open(Split::test).size() == 2);
    CHECK(task->data_origin() == "official");
    CHECK(task->provenance().is_null());
    const std::string name = place == "." ? "basic_train.tsv" : place + "/basic_train.tsv";
    CHECK(contains(error_of([&] { task->open(Split::train); }), "3: " + name + ":2: "));
  }
}

TEST_CASE("listops files: the official place comes first, a whole set before a partial one") {
  TemporaryFolder folder;
  small_listops(folder.path() / "listops", kHeader + "3\t3\n");
  write_text(folder.path() / "listops-1000/basic_train.tsv", kTwoRows);
  CHECK(open_task("listops", options_for(folder.path()))->open(Split::train).size() == 1);
  small_listops(folder.path() / "listops-1000");
  CHECK(open_task("listops", options_for(folder.path()))->open(Split::train).size() == 2);
}

TEST_CASE("listops files: what is missing, and where was looked") {
  TemporaryFolder folder;
  const auto open = [&] { open_task("listops", options_for(folder.path())); };
  const std::string nothing = error_of(open);
  CHECK(contains(nothing, "3: listops-1000/basic_train.tsv: not found; looked in "));
  CHECK(contains(nothing, (folder.path() / "lra_release/lra_release/listops-1000").string()));
  CHECK(contains(nothing, "lotformer-data generate --task listops --root " + folder.path().string()));
  CHECK(contains(nothing, "data.generate_missing"));
  write_text(folder.path() / "listops-1000/basic_train.tsv", kTwoRows);
  CHECK(contains(error_of(open), "3: listops-1000/basic_val.tsv: not found in "));
}

}  // namespace
}  // namespace lotformer::data::test
