// SPDX-License-Identifier: MIT
#include "report/pictures.h"

#include <set>

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;
using lotformer::test::TemporaryFolder;

std::vector<Picture> pictures_of(const fs::path& folder) {
  test::make_run(folder / "run", {});
  test::make_about(folder / "run");
  test::write_text(folder / "run/evaluation/predictions.tsv",
                   "row\tlabel\tprediction\tlength\n0\t0\t1\t5\n1\t1\t1\t7\n");
  test::write_text(
      folder / "run/evaluation/plans.json",
      R"({"examples":[{"row":0,"label":0,"prediction":1,"sequences":[{"ids":[1,2],"plans":[{"layer":0,"head":1,"query":[[0.5,0.5]],"key":[[0.2,0.8]]}]}]}]})");
  const std::vector<Run> runs = {read_run(folder / "run")};
  return make_pictures(runs, make_table(runs));
}

TEST_CASE("report: every picture of the page is a script") {
  const TemporaryFolder folder;
  std::vector<std::string> names;
  for (const auto& picture : pictures_of(folder.path())) names.push_back(picture.name);
  for (const char* name :
       {"accuracy-speed-listops", "validation-accuracy-listops", "training-loss-listops",
        "gradient-norm-listops", "solver-passes-mean-listops", "confusion-softmax-listops-seed-0",
        "accuracy-by-length-softmax-listops-seed-0", "plan-softmax-listops-seed-0-layer-0-head-1-query",
        "plan-softmax-listops-seed-0-layer-0-head-1-key"}) {
    INFO(name << " in " << join(names, " "));
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
}

TEST_CASE("report: gnuplot draws every script, or its absence is told") {
  const TemporaryFolder folder;
  const auto pictures = pictures_of(folder.path());
  std::vector<std::string> notes;
  const int drawn = write_pictures(pictures, folder.path() / "pictures", notes);
  CHECK(fs::exists(folder.path() / "pictures" / (pictures[0].name + ".gp")));
  if (drawn == 0) {
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], lotformer::test::contains_text("gnuplot is not here"));
    return;
  }
  INFO(join(notes, "; "));
  CHECK(notes.empty());
  CHECK(drawn == static_cast<int>(pictures.size()));
  for (const auto& picture : pictures) {
    const std::string svg = lotformer::test::slurp(folder.path() / "pictures" / (picture.name + ".svg"));
    CHECK(svg.find("</svg>") != std::string::npos);
    CHECK(fs::file_size(folder.path() / "pictures" / (picture.name + ".png")) > 1000);
  }
}

TEST_CASE("report: a script that gnuplot refuses is told") {
  const TemporaryFolder folder;
  std::vector<std::string> notes;
  CHECK(write_pictures({{"bad", "plot nonsense(\n"}}, folder.path() / "p", notes) == 0);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], lotformer::test::contains_text("gnuplot"));
}

TEST_CASE("report: seeds that were logged at other steps have a curve all the same") {
  const TemporaryFolder folder;
  std::vector<Run> runs;
  for (const int64_t seed : {0, 1, 2}) {
    test::MadeRun made;
    made.seed = seed;
    const fs::path path = folder.path() / std::to_string(seed);
    test::make_run(path, made);
    std::string metrics;
    for (int64_t step = 10 + seed; step <= 100; step += 10 + seed)
      metrics += to_line({{"step", step}, {"split", "train"}, {"loss", static_cast<double>(step)}}) + "\n";
    test::write_text(path / "metrics.jsonl", metrics);
    runs.push_back(read_run(path));
  }
  for (const auto& picture : make_pictures(runs, make_table(runs))) {
    if (picture.name != "training-loss-listops") continue;
    // The loss is the step: so is the mean wherever it stands.
    CHECK_THAT(picture.script, lotformer::test::contains_text("\n20 20 20 20\n"));
    CHECK_THAT(picture.script, lotformer::test::contains_text("\n90 90 90 90\n"));
    return;
  }
  FAIL("no picture of the loss");
}

TEST_CASE("report: names of pictures are unique and short, and old pictures go") {
  const TemporaryFolder folder;
  test::make_run(folder.path() / "a", {});
  test::MadeRun longer;
  longer.module = std::string(400, 'x');
  test::make_run(folder.path() / "b", longer);
  for (const char* name : {"a", "b"}) {
    test::make_about(folder.path() / name);
    test::write_text(folder.path() / name / "evaluation/predictions.tsv",
                     "row\tlabel\tprediction\n0\t0\t1\n1\t1\t1\n");
  }
  const Run a = read_run(folder.path() / "a");
  const std::vector<Run> runs = {a, a, read_run(folder.path() / "b")};
  std::set<std::string> names;
  const auto pictures = make_pictures(runs, make_table(runs));
  for (const auto& picture : pictures) {
    CHECK(names.insert(picture.name).second);
    CHECK(picture.name.size() < 200);
  }
  std::vector<std::string> notes;
  test::write_text(folder.path() / "p/old.gp", "");
  test::write_text(folder.path() / "p/old.svg", "");
  test::write_text(folder.path() / "p/mine.svg", "");
  write_pictures({}, folder.path() / "p", notes);
  CHECK(!fs::exists(folder.path() / "p/old.svg"));
  CHECK(fs::exists(folder.path() / "p/mine.svg"));
}

}  // namespace
}  // namespace lotformer::report
