// SPDX-License-Identifier: MIT
#include "report/pictures.h"

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;
using lotformer::test::TemporaryFolder;

std::vector<Picture> pictures_of(const fs::path& folder) {
  test::make_run(folder / "run", {});
  test::write_text(folder / "run/evaluation/predictions.tsv",
                   "row\tlabel\tprediction\tlength\n0\t0\t1\t5\n1\t1\t1\t7\n");
  test::write_text(
      folder / "run/evaluation/plans.json",
      R"({"examples":[{"sequences":[{"ids":[1,2],"plans":[{"layer":0,"head":1,"query":[[0.5,0.5]],"key":[[0.2,0.8]]}]}]}]})");
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

}  // namespace
}  // namespace lotformer::report
