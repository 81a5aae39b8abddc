// SPDX-License-Identifier: MIT
#include "report/run.h"

#include <cmath>

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

using lotformer::test::TemporaryFolder;
using test::make_run;
using test::write_text;

bool has_note(const Run& run, const std::string& part) {
  for (const auto& note : run.notes) {
    if (note.find(part) != std::string::npos) return true;
  }
  return false;
}

TEST_CASE("report: a finished run is read whole") {
  const TemporaryFolder folder;
  make_run(folder.path(), {});
  const Run run = read_run(folder.path());
  CHECK(run.state == State::finished);
  CHECK(run.notes.empty());
  CHECK(run.task == "listops");
  CHECK(run.module == "softmax");
  CHECK(run.config.at("model.dim") == "64");
  CHECK(run.test->accuracy == 0.5);
  CHECK(run.last_test->accuracy == 0.4);
  CHECK(run.training.size() == 2);
  CHECK(run.validation.at(0).accuracy == 0.5);
  CHECK(run.series.at(0).key == "passes_mean");
  CHECK(run.seconds == std::vector<double>{2.0, 4.0});
  CHECK(run.steps_per_second == 5.0);
}

TEST_CASE("report: a run under way is read to where it is, its last line may be cut") {
  const TemporaryFolder folder;
  test::MadeRun made;
  made.finished = false;
  made.steps = 100;
  make_run(folder.path(), made);
  std::ofstream(folder.path() / "metrics.jsonl", std::ios::app) << "{\"step\":30,\"spl";
  const Run run = read_run(folder.path());
  CHECK(run.state == State::unfinished);
  CHECK(has_note(run, "step 20 of 100"));
  CHECK(run.notes.size() == 1);
  CHECK(run.steps_per_second == 5.0);  // from the timings
}

TEST_CASE("report: damaged files are told, the rest is shown") {
  const TemporaryFolder folder;
  make_run(folder.path(), {});
  const auto broken = [&](const std::string& file, const std::string& text, const std::string& note) {
    make_run(folder.path(), {});
    test::make_about(folder.path());
    write_text(folder.path() / file, text);
    const Run run = read_run(folder.path());
    INFO(file << ": " << join(run.notes, "; "));
    CHECK(has_note(run, note));
    CHECK(run.task == "listops");
    return run;
  };
  CHECK(broken("results.json", "{\"task\":", "results.json").state == State::unfinished);
  CHECK(broken("run.json", "[1, 2", "run.json").config.size() ==
        2);  // what results.json says: precision, training data
  CHECK(broken("metrics.jsonl", "nonsense\n{\"step\":10,\"split\":\"train\",\"loss\":1}\n",
               "1 lines are no JSON")
            .training.size() == 1);
  CHECK(broken("evaluation/predictions.tsv", "row\tlabel\n", "does not begin with").predictions ==
        std::nullopt);
  CHECK(broken("evaluation/plans.json", "{", "plans.json").plans.is_null());
  CHECK(
      broken("results.json", "{\"task\": 7, \"attention\": [], \"test\": 3}", "no score of the test").test ==
      std::nullopt);
}

TEST_CASE("report: steps that were done twice after a stop count once") {
  const TemporaryFolder folder;
  make_run(folder.path(), {});
  std::ofstream(folder.path() / "timings.jsonl", std::ios::app)
      << "{\"phase\":\"train\",\"step\":20,\"seconds\":3.0}\n{\"phase\":\"train\",\"step\":30,\"seconds\":1."
         "0}\n";
  const Run run = read_run(folder.path());
  CHECK(run.timed_steps == std::vector<int64_t>{10, 20, 30});
  CHECK(run.seconds == std::vector<double>{2.0, 5.0, 6.0});
}

TEST_CASE("report: runs are found below folders, and what is none is told") {
  const TemporaryFolder folder;
  make_run(folder.path() / "sweep/listops/softmax/seed-0", {});
  make_run(folder.path() / "sweep/listops/softmax/seed-1", {});
  write_text(folder.path() / "other/readme.txt", "x");
  std::filesystem::create_directory_symlink(folder.path() / "sweep", folder.path() / "sweep/loop");
  std::vector<std::string> notes;
  CHECK(find_runs({folder.path() / "sweep", folder.path(), folder.path() / "sweep/."}, notes).size() == 2);
  std::filesystem::remove(folder.path() / "sweep/loop");
  notes.clear();
  CHECK(find_runs({folder.path() / "sweep", folder.path() / "other"}, notes).size() == 2);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], lotformer::test::contains_text("other holds no run"));
  CHECK_THROWS_WITH(find_runs({folder.path() / "absent"}, notes),
                    lotformer::test::contains_text("is no folder"));
}

TEST_CASE("report: what an accuracy must not be read without is a note") {
  const TemporaryFolder folder;
  const auto with = [&](const Json& more) {
    make_run(folder.path(), {});
    Json results = Json::parse(lotformer::test::slurp(folder.path() / "results.json"));
    results.update(more);
    write_text(folder.path() / "results.json", to_pretty_text(results));
    return read_run(folder.path());
  };
  CHECK(!with({{"learned", true}, {"lost_best", nullptr}}).qualified);
  for (const auto& [more, part] : std::vector<std::pair<Json, std::string>>{
           {{{"val_is_test", true}}, "same files"},
           {{{"learned", false}}, "not learned more"},
           {{{"lost_best", {{"step", 3}}}}, "was lost"},
           {{{"nonfinite", {{"skipped_updates", 2}}}}, "not finite"},
           {{{"test", {{"accuracy", 0.5}, {"step", 20}, {"examples", 100}, {"available", 400}}}},
            "100 of 400"},
           {{{"test",
              {{"accuracy", 0.5},
               {"step", 20},
               {"examples", 100},
               {"transport", {{"problems", 9}, {"unconverged", 2}}}}}},
            "2 of 9 transport problems"}}) {
    const Run run = with(more);
    INFO(join(run.notes, "; "));
    CHECK(run.qualified);
    CHECK(has_note(run, part));
  }
}

TEST_CASE("report: an evaluation of another checkpoint or other data is left out, and that is said") {
  const TemporaryFolder folder;
  make_run(folder.path(), {});
  write_text(folder.path() / "evaluation/predictions.tsv", "row\tlabel\tprediction\n0\t0\t0\n1\t0\t1\n");
  CHECK(has_note(read_run(folder.path()), "evaluation/ is of another checkpoint"));  // broken off: no mark
  test::make_about(folder.path(), 10);
  const Run other = read_run(folder.path());
  CHECK(has_note(other, "evaluation/ is of another checkpoint"));
  CHECK(!other.predictions);
  test::make_about(folder.path());
  CHECK(read_run(folder.path()).predictions);
  write_text(folder.path() / "evaluation/predictions.tsv", "row\tlabel\tprediction\n0\t0\t0\n");
  CHECK(has_note(read_run(folder.path()), "has 1 rows, the test 2 examples"));
}

TEST_CASE("report: a line without a finite loss has none, and a configuration that holds itself is no end") {
  const TemporaryFolder folder;
  make_run(folder.path(), {});
  write_text(folder.path() / "metrics.jsonl",
             "{\"step\":10,\"split\":\"train\",\"loss\":null,\"accuracy\":null}\n");
  const Run run = read_run(folder.path());
  REQUIRE(run.training.size() == 1);
  CHECK(std::isnan(run.training[0].loss));
  write_text(folder.path() / "run.json", "{}");
  write_text(folder.path() / "config.yaml", "a: &x\n  b: *x\n");
  CHECK(has_note(read_run(folder.path()), "more than 16 levels"));
}

TEST_CASE("report: plans that are none are told") {
  const TemporaryFolder folder;
  for (
      const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
          {R"({"examples":[]})", "'examples'"},
          {R"({"examples":[{}]})", "'row'"},
          {R"({"examples":[{"row":0,"label":0,"prediction":0,"sequences":[{"ids":[1],"plans":[{"layer":0,"head":0,"query":[[1,2]],"key":[[1]]}]}]}]})",
           "one number a token"},
          {R"({"examples":[{"row":0,"label":0,"prediction":0,"sequences":[{"ids":[1],"plans":[{"layer":0,"head":0,"query":[["a"]],"key":[[1]]}]}]}]})",
           "no number"}}) {
    make_run(folder.path(), {});
    test::make_about(folder.path());
    write_text(folder.path() / "evaluation/plans.json", text);
    const Run run = read_run(folder.path());
    INFO(text << " " << join(run.notes, "; "));
    CHECK(has_note(run, part));
    CHECK(run.plans.is_null());
  }
}

}  // namespace
}  // namespace lotformer::report
