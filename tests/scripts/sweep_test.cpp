// SPDX-License-Identifier: MIT
// scripts/sweep.sh as its users meet it: two tasks, five modules, two seeds, killed on the way.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

constexpr const char* kAll = "softmax performer sinkformer espformer lotformer";

/// One root with both tasks' data.
const fs::path& data_root() {
  static const fs::path root = [] {
    const Finished made = run({.program = "lotformer-data",
                               .arguments = {"generate", "--task", "text", "--root", small_listops().string(),
                                             "--train", "40", "--test", "20"}});
    if (made.exit_code != 0) throw std::runtime_error(made.err);
    return small_listops();
  }();
  return root;
}

Command sweep(const fs::path& out, std::vector<std::string> more) {
  Command command{
      .program = "/bin/bash",
      .arguments = {LOTFORMER_SOURCE_DIR "/scripts/sweep.sh", "--out", out.string(), "--tasks",
                    LOTFORMER_TEST_DATA "/configs/tiny.yaml," LOTFORMER_TEST_DATA "/configs/tiny_text.yaml",
                    "--device", "cpu", "--set", "data.root=" + data_root().string(), "--set",
                    "train.steps=6"},
      .environment = {{"LOTFORMER_TRAIN", LOTFORMER_BIN_DIR "/lotformer-train"},
                      {"LOTFORMER_DEPS_DIR", (out.parent_path() / "deps").string()}},
      .group = true};
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  return command;
}

int64_t finished_cells(const fs::path& out) {
  int64_t count = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator it(out, code), end; !code && it != end; it.increment(code)) {
    if (it->path().extension() == ".json" && it->path().filename().string().rfind("seed-", 0) == 0) ++count;
  }
  return count;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("sweep: two tasks, five modules, two seeds, killed on the way, finished by the same command") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "sweep";
  const std::vector<std::string> what = {"--attention", kAll, "--seeds", "0,1"};
  {
    Process first(sweep(out, what));
    while (first.running() && finished_cells(out) < 5)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    first.signal(SIGKILL);
    CHECK(first.wait().exit_code == 128 + SIGKILL);
  }
  const int64_t before = finished_cells(out);
  REQUIRE(before >= 5);
  REQUIRE(before < 20);
  const Finished second = run(sweep(out, what));
  INFO(second.err << second.out);
  REQUIRE(second.exit_code == 0);
  const auto log = lines_of(second.err);
  // A line where a cell starts and one where it ends.
  CHECK(std::count_if(log.begin(), log.end(), [](const std::string& line) { return line[0] == '['; }) == 40);
  CHECK(std::count_if(log.begin(), log.end(), [](const std::string& line) {
          return line.find("(was finished)") != std::string::npos;
        }) >= before);
  const auto cells = lines_of(slurp(out / "cells.csv")), summary = lines_of(slurp(out / "summary.csv"));
  REQUIRE(cells.size() == 21);
  REQUIRE(summary.size() == 11);
  // Mean and deviation of the first row, from the cells it sums up.
  const auto number = [](const std::string& line, int column) {
    std::istringstream in(line);
    std::string field;
    for (int i = 0; i <= column; ++i) std::getline(in, field, ',');
    return field.empty() ? -1 : std::stod(field);
  };
  const double a = number(cells[1], 4), b = number(cells[2], 4);
  CHECK(a > 0);
  CHECK(number(summary[1], 2) == Approx((a + b) / 2));
  CHECK(number(summary[1], 3) == Approx(std::abs(a - b) / std::sqrt(2.0)).margin(1e-5));
  CHECK(number(summary[1], 4) == 2);
  for (const std::string& line : summary) {
    if (line.rfind("tiny_text", 0) == 0) CHECK_THAT(line, contains_text("synthetic"));
  }
  CHECK_THAT(second.out, contains_text("| tiny_text | lotformer |"));
}

TEST_CASE("sweep: tables have decimal points where the user's locale has commas") {
  const TemporaryFolder folder;
  const fs::path locale = folder.path() / "de_DE.UTF-8", out = folder.path() / "sweep";
  const Finished made = run(
      {.program = "/bin/bash", .arguments = {"-c", "localedef -i de_DE -f UTF-8 '" + locale.string() + "'"}});
  if (!fs::exists(locale)) {
    WARN("not tested: localedef has no de_DE here: " << made.err);
    return;
  }
  Command command = sweep(out, {"--attention", "mean", "--seeds", "0 1"});
  command.environment.insert(command.environment.end(),
                             {{"LOCPATH", folder.path().string()}, {"LC_ALL", "de_DE.UTF-8"}});
  const Finished finished = run(command);
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  const std::string summary = lines_of(slurp(out / "summary.csv")).at(1);
  CHECK_THAT(summary, contains_text("tiny,mean,0."));
  CHECK(std::count(summary.begin(), summary.end(), ',') == 11);
  for (const std::string& line : lines_of(finished.err)) {
    if (line.find("seed 0: test ") == std::string::npos) continue;
    CHECK(std::count(line.begin(), line.end(), ',') == 1);  // "... test 12.34 %, 3 s"
  }
}

TEST_CASE("sweep: a cell that is killed in its middle goes on from its checkpoint") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "sweep", cell = out / "tiny/mean/seed-0";
  // tiny.yaml alone, long enough to be killed on the way; the other arguments are those of sweep().
  const std::vector<std::string> what = {"--tasks",     LOTFORMER_TEST_DATA "/configs/tiny.yaml",
                                         "--attention", "mean",
                                         "--set",       "train.steps=600",
                                         "--set",       "train.eval_every=0",
                                         "--set",       "train.checkpoint_every=20",
                                         "--set",       "train.keep=100"};
  {
    Process first(sweep(out, what));
    while (first.running() && !fs::exists(cell / "checkpoints/step-00000040"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    first.signal(SIGKILL);
    REQUIRE(first.wait().exit_code == 128 + SIGKILL);
  }
  REQUIRE(finished_cells(out) == 0);
  const Finished second = run(sweep(out, what));
  INFO(second.err << slurp(cell.string() + ".log"));
  REQUIRE(second.exit_code == 0);
  const std::string log = slurp(cell.string() + ".log");
  CHECK_THAT(log, contains_text("resuming at step "));
  // No window stands in the metrics twice, none is missing.
  std::vector<int64_t> steps, wanted;
  for (const Json& line : read_lines(cell / "metrics.jsonl")) {
    if (line.at("split") == "train") steps.push_back(line.at("step").get<int64_t>());
  }
  for (int64_t step = 7; step < 600; step += 7) wanted.push_back(step);  // train.log_every
  wanted.push_back(600);
  CHECK(steps == wanted);
}

TEST_CASE("sweep: goes on after a failure and names it, stops at a signal, prints commands") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "sweep";
  // What stands where two cells shall run is no run of ours.
  for (const char* task : {"tiny", "tiny_text"}) {
    fs::create_directories(out / task / "softmax/seed-0/somebody's");
  }
  const Finished failing = run(sweep(out, {"--attention", "softmax sinkformer mean"}));
  INFO(failing.err << failing.out);
  CHECK(failing.exit_code == 1);
  CHECK(finished_cells(out) == 4);
  CHECK_THAT(failing.out, contains_text("| tiny | softmax | 0 | 2 | "));
  CHECK_THAT(failing.out, contains_text("is no run of ours"));
  const Finished refused = run(sweep(folder.path() / "refused", {"--attention", "softmax nonsense mean"}));
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, contains_text("must be one of"));
  CHECK(!fs::exists(folder.path() / "refused"));

  Process long_one(sweep(folder.path() / "other", {"--attention", "mean", "--set", "train.steps=100000"}));
  while (long_one.running() && !fs::exists(folder.path() / "other/tiny/mean/seed-0/metrics.jsonl"))
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  long_one.signal(SIGTERM);
  CHECK(long_one.wait().exit_code == 75);

  const Finished dry =
      run(sweep(folder.path() / "dry", {"--attention", kAll, "--seeds", "0 1", "--dry-run"}));
  CHECK(dry.exit_code == 0);
  CHECK(lines_of(dry.out).size() == 20);
  CHECK(!fs::exists(folder.path() / "dry"));
  CHECK(run(sweep(out, {"--seeds", "x"})).exit_code == 2);
  CHECK(run(sweep(out, {"--nonsense"})).exit_code == 2);
}
