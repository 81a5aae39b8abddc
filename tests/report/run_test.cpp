// SPDX-License-Identifier: MIT
#include "report/run.h"

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
    write_text(folder.path() / file, text);
    const Run run = read_run(folder.path());
    INFO(file << ": " << join(run.notes, "; "));
    CHECK(has_note(run, note));
    CHECK(run.task == "listops");
    return run;
  };
  CHECK(broken("results.json", "{\"task\":", "results.json").state == State::unfinished);
  CHECK(broken("run.json", "[1, 2", "run.json").config.empty());
  CHECK(broken("metrics.jsonl", "nonsense\n{\"step\":10,\"split\":\"train\",\"loss\":1}\n",
               "1 lines are no JSON")
            .training.size() == 1);
  CHECK(broken("evaluation/predictions.tsv", "row\tlabel\n", "does not begin with").predictions ==
        std::nullopt);
  CHECK(broken("evaluation/plans.json", "{", "plans.json").plans.is_null());
  CHECK(broken("results.json", "{\"task\": 7, \"attention\": [], \"test\": 3}", "no score of the test").test ==
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
  CHECK(find_runs({folder.path() / "sweep"}, notes).size() >= 2);
  std::filesystem::remove(folder.path() / "sweep/loop");
  notes.clear();
  CHECK(find_runs({folder.path() / "sweep", folder.path() / "other"}, notes).size() == 2);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], lotformer::test::contains_text("other holds no run"));
  CHECK_THROWS_WITH(find_runs({folder.path() / "absent"}, notes),
                    lotformer::test::contains_text("is no folder"));
}

}  // namespace
}  // namespace lotformer::report
