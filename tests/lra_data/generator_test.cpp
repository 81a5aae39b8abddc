// SPDX-License-Identifier: MIT
// The ListOps generator against section 12 of the data contract, and its promises: equal bytes, distinct
// trees, whole folders.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "lotformer/core/hash.h"
#include "lotformer/data/listops_generator.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const std::array<std::string, 3> kFiles = {"basic_train.tsv", "basic_val.tsv", "basic_test.tsv"};

DataOptions generator_options(const fs::path& root) {
  DataOptions options;
  options.root = root;
  options.verify_labels = true;
  return options;
}

/// Digest of the three files together.
std::string digest(const fs::path& directory) {
  Hasher hasher;
  for (const std::string& name : kFiles) hasher.update(read_text(directory / name));
  return hasher.digest();
}

struct Statistics {
  std::vector<double> lengths;
  std::array<double, 10> labels{};
  std::array<double, 5> roots{};
  double root_arguments = 0, closes = 0, tokens = 0;
  int64_t depth10 = 0, right_by_root = 0, rows = 0;
};

Statistics measure(const Dataset& dataset) {
  Statistics s;
  s.rows = dataset.size();
  std::array<std::array<int64_t, 10>, 5> by_root{};
  for (int64_t row = 0; row < s.rows; ++row) {
    const auto bytes = dataset.bytes(row);
    s.lengths.push_back(static_cast<double>(bytes.size()));
    s.labels[static_cast<size_t>(dataset.label(row))] += 1.0 / static_cast<double>(s.rows);
    s.roots[bytes[0]] += 1.0 / static_cast<double>(s.rows);
    ++by_root[bytes[0]][static_cast<size_t>(dataset.label(row))];
    int level = 0;
    for (const uint8_t token :
         bytes) {  // arguments of the root are the tokens at level 1 that are no close bracket
      if (token == 5)
        --level;
      else if (level == 1)
        ++s.root_arguments;
      if (token >= 1 && token <= 4) ++level;
      s.closes += token == 5 ? 1 : 0;
    }
    s.tokens += static_cast<double>(bytes.size());
    s.depth10 += dataset.property(row, 1) == 10 ? 1 : 0;
  }
  for (const auto& labels : by_root) s.right_by_root += *std::max_element(labels.begin(), labels.end());
  std::sort(s.lengths.begin(), s.lengths.end());
  return s;
}

TEST_CASE("generator: 6,000 official trees have the statistics of the contract") {
  TemporaryFolder folder;
  ListopsParameters p;
  p.seed = 11;
  p.train = 5998;
  p.val = p.test = 1;
  const ListopsGeneration made = generate_listops(folder.path(), p);
  const Statistics s = measure(open_task("listops", generator_options(folder.path()))->open(Split::train));
  const auto rows = static_cast<double>(s.rows);
  // Tolerances: about four standard errors of 6,000 rows on both sides of the comparison.
  CHECK(6000.0 / static_cast<double>(made.candidates) == Catch::Approx(0.082).margin(0.006));
  CHECK(s.tokens / rows == Catch::Approx(1041).margin(30));
  CHECK(s.lengths[s.lengths.size() / 2] == Catch::Approx(965).margin(40));
  double variance = 0;
  for (const double length : s.lengths) variance += std::pow(length - s.tokens / rows, 2) / rows;
  CHECK(std::sqrt(variance) == Catch::Approx(394).margin(20));
  CHECK(s.lengths.front() >= 501);
  CHECK(s.lengths.back() <= 1999);
  CHECK(s.depth10 == s.rows);
  CHECK(s.closes / s.tokens == Catch::Approx(0.142).margin(0.002));
  CHECK(s.root_arguments / rows == Catch::Approx(6.9).margin(0.15));
  for (size_t op = 1; op <= 4; ++op) CHECK(s.roots[op] == Catch::Approx(0.25).margin(0.025));
  constexpr std::array<double, 10> kLabels = {.178, .092, .073, .084, .091, .083, .076, .071, .087, .166};
  for (size_t label = 0; label < 10; ++label)
    CHECK(s.labels[label] == Catch::Approx(kLabels[label]).margin(0.02));
  CHECK(static_cast<double>(s.right_by_root) / rows == Catch::Approx(0.367).margin(0.025));
}

TEST_CASE("generator: equal parameters give equal bytes, now and ever") {
  TemporaryFolder one, two, other;
  ListopsParameters p = small_parameters();
  generate_listops(one.path(), p);
  generate_listops(two.path(), p);
  CHECK(digest(one.path() / "listops-1000") == digest(two.path() / "listops-1000"));
  CHECK(digest(one.path() / "listops-1000") ==
        "97e3ac880ee99adb640082d15589ca92");  // a change breaks seeds that people published
  p.seed = 1;
  generate_listops(other.path(), p);
  CHECK(digest(other.path() / "listops-1000") != digest(one.path() / "listops-1000"));
}

TEST_CASE("generator: format of the files, split sizes, distinct trees, labels that are right") {
  TemporaryFolder folder;
  const ListopsParameters p = small_parameters();
  const ListopsGeneration made = generate_listops(folder.path(), p);
  CHECK(made.directory == folder.path() / "listops-1000");
  CHECK(!made.already_there);
  CHECK(made.rows == 390);
  const auto task = open_task("listops", generator_options(folder.path()));
  std::set<std::vector<int>> trees;
  for (const Split split : {Split::train, Split::val, Split::test}) {
    const Dataset dataset = task->open(split);
    for (int64_t row = 0; row < dataset.size(); ++row) {
      CHECK(trees.insert(ids(dataset, row)).second);
      CHECK((dataset.length(row) > 5 && dataset.length(row) < 60));
      CHECK(dataset.property(row, 1) <= 4);
    }
  }
  CHECK(task->open(Split::train).size() == 300);
  CHECK(task->open(Split::val).size() == 40);
  CHECK(task->open(Split::test).size() == 50);
  int64_t bytes = 0;
  for (const std::string& name : kFiles) {
    const std::string text = read_text(made.directory / name);
    bytes += static_cast<int64_t>(text.size());
    CHECK(text.rfind("Source\tTarget\r\n", 0) == 0);
    CHECK(text.substr(text.size() - 2) == "\r\n");
    CHECK(std::count(text.begin(), text.end(), '\n') == std::count(text.begin(), text.end(), '\r'));
    CHECK(!contains(text, "  "));
  }
  CHECK(made.bytes == bytes);
  CHECK(task->data_origin() == "synthetic");  // short expressions are no sample of the official set
  CHECK(task->provenance()["parameters"]["max_depth"] == 4);
  CHECK(task->provenance()["counts"]["train"] == 300);
  CHECK(!fs::exists(folder.path() / ".listops-1000.partial"));
  CHECK(contains(task->references()[0].source, "measured"));
}

TEST_CASE("generator: official shape keeps the official reference lines, whatever seed and size") {
  TemporaryFolder folder;
  ListopsParameters p;
  p.seed = 3;
  p.train = 20;
  p.val = p.test = 2;
  generate_listops(folder.path(), p);
  const auto references = open_task("listops", generator_options(folder.path()))->references();
  CHECK(references[0].name == "always 0");
  CHECK(references[0].accuracy == 0.178);
  CHECK(references[1].accuracy == 0.367);
  CHECK(references[1].source == "official distribution");
}

TEST_CASE("generator: a second call finds the set, other parameters and other files are refused") {
  TemporaryFolder folder;
  const ListopsParameters p = small_parameters();
  generate_listops(folder.path(), p);
  const fs::path directory = folder.path() / "listops-1000";
  const auto time = fs::last_write_time(directory / "basic_train.tsv");
  const ListopsGeneration again = generate_listops(folder.path(), p);
  CHECK(again.already_there);
  CHECK(again.rows == 390);
  CHECK(fs::last_write_time(directory / "basic_train.tsv") == time);

  ListopsParameters deeper = p;
  deeper.max_depth = 5;
  const std::string refusal = error_of([&] { generate_listops(folder.path(), deeper); });
  CHECK(contains(refusal, "3: " + directory.string() +
                              ": holds a set made with other parameters (max_depth is 4, wanted 5)"));
  CHECK(contains(refusal, "choose another --root"));

  fs::remove(directory / "basic_val.tsv");  // ours and incomplete: made again
  CHECK(!generate_listops(folder.path(), p).already_there);
  CHECK(fs::exists(directory / "basic_val.tsv"));

  write_text(directory / "basic_test.tsv", "short");
  CHECK(contains(error_of([&] { generate_listops(folder.path(), p); }),
                 "listops-1000/basic_test.tsv: has 5 bytes"));
  fs::remove(directory / "SYNTHETIC.json");
  CHECK(contains(error_of([&] { generate_listops(folder.path(), p); }), "without a provenance record"));
}

TEST_CASE("generator: nothing that it did not make is touched") {
  TemporaryFolder folder;
  write_text(folder.path() / "listops-1000/thesis.txt", "precious");
  CHECK(contains(error_of([&] { generate_listops(folder.path(), small_parameters()); }), "3: "));
  CHECK(read_text(folder.path() / "listops-1000/thesis.txt") == "precious");

  TemporaryFolder release;  // ROOT/listops-1000 would hide these
  small_listops(release.path() / "lra_release/listops-1000");
  CHECK(contains(error_of([&] { generate_listops(release.path(), small_parameters()); }),
                 "perhaps the official ones"));
  CHECK(!fs::exists(release.path() / "listops-1000"));

  TemporaryFolder killed;  // what a killed run leaves is replaced
  write_text(killed.path() / ".listops-1000.partial/basic_train.tsv", "half");
  fs::create_directories(killed.path() / "listops-1000");
  generate_listops(killed.path(), small_parameters());
  CHECK(open_task("listops", generator_options(killed.path()))->open(Split::val).size() == 40);
}

TEST_CASE("generator: parameters that cannot be satisfied end at once with the reason") {
  TemporaryFolder folder;
  const auto refusal = [&](const std::function<void(ListopsParameters&)>& change) {
    ListopsParameters p = small_parameters();
    change(p);
    return error_of([&] { generate_listops(folder.path(), p); });
  };
  CHECK(contains(refusal([](auto& p) { p.train = 0; }),
                 "2: generate: --train must lie in 1..100000000, got 0"));
  CHECK(contains(refusal([](auto& p) { p.val = -3; }), "2: generate: --val"));
  CHECK(contains(refusal([](auto& p) { p.max_args = 1; }), "2: generate: --max-args must lie in 2.."));
  CHECK(contains(refusal([](auto& p) { p.max_depth = 0; }), "2: generate: --max-depth"));
  CHECK(contains(refusal([](auto& p) { p.min_length = p.max_length - 1; }),
                 "2: generate: --min-length must lie in 0..58"));
  CHECK(contains(refusal([](auto& p) { p.min_length = 5000, p.max_length = 6000; }),
                 "2: generate: 0 distinct expressions"));
  // Depth 2, two arguments: 4 operators * 10 * 10 digits = 400 trees of 4 tokens; with the 10 lone digits
  // 410.
  CHECK(contains(refusal([](auto& p) { p.max_depth = 2, p.max_args = 2, p.min_length = 0, p.train = 1000; }),
                 "2: generate: 410 distinct expressions"));
  CHECK(contains(refusal([](auto& p) { p.max_depth = 2, p.max_args = 2, p.min_length = 1, p.train = 1000; }),
                 "2: generate: 400 distinct expressions"));
  // Exactly as many as there are: found, the last of them too, and none twice.
  CHECK(refusal([](auto& p) { p.max_depth = 2, p.max_args = 2, p.min_length = 0, p.train = 320; }) ==
        "no error");
  std::set<std::vector<int>> trees;
  const auto task = open_task("listops", generator_options(folder.path()));
  for (const Split split : {Split::train, Split::val, Split::test}) {
    const Dataset dataset = task->open(split);
    for (int64_t row = 0; row < dataset.size(); ++row) trees.insert(ids(dataset, row));
  }
  CHECK(trees.size() == 410);
}

TEST_CASE("generator: two processes at once make one set") {
  TemporaryFolder folder, alone;
  ListopsParameters p = small_parameters();
  p.train = 20000;
  p.min_length = 8;
  p.max_length = 200;
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(error_of([&] { generate_listops(folder.path(), p); }) == "no error" ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
  generate_listops(alone.path(), p);
  CHECK(digest(folder.path() / "listops-1000") == digest(alone.path() / "listops-1000"));
}

}  // namespace
}  // namespace lotformer::data::test
