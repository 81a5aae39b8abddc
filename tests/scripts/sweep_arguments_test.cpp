// SPDX-License-Identifier: MIT
// scripts/sweep.sh without the program: what it would run, what it refuses.
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"
#include "support/run.h"

using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Command sweep(const fs::path& folder, const Words& more) {
  Command command{.program = "/bin/bash",
                  .arguments = {LOTFORMER_SOURCE_DIR "/scripts/sweep.sh", "--out", (folder / "out").string()},
                  .environment = {{"LOTFORMER_TRAIN", (folder / "train").string()},
                                  {"LOTFORMER_DEPS_DIR", (folder / "deps").string()}}};
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  return command;
}

/// The commands that a sweep would run, one a line.
Words commands(const Words& more) {
  const TemporaryFolder folder;
  Command command = sweep(folder.path(), more);
  command.arguments.push_back("--dry-run");
  const Finished done = run(command);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(!fs::exists(folder.path() / "out"));
  std::istringstream in(done.out);
  Words lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string refusal(const Words& more) {
  const TemporaryFolder folder;
  const Finished done = run(sweep(folder.path(), more));
  CHECK(done.exit_code == 2);
  CHECK(!fs::exists(folder.path() / "out"));
  return done.err.substr(0, done.err.find('\n'));
}

}  // namespace

TEST_CASE("sweep: settings for every cell, and for the cells of one module, which win") {
  const Words lines = commands({"--attention", "softmax lotformer", "--set",
                                "lotformer:model.attention.pivots=8", "--set", "data.root=a:b=c", "--set",
                                "lotformer:train.lr=1e-3", "--set", "train.lr=1e-4", "--device", "cpu"});
  REQUIRE(lines.size() == 2);
  for (const std::string& line : lines) {
    CHECK_THAT(line, contains_text("--device cpu"));
    CHECK_THAT(line, contains_text("--set data.root=a:b=c"));
    CHECK_THAT(line, contains_text("--set train.lr=1e-4"));
  }
  CHECK_THAT(lines[0], !contains_text("pivots") && !contains_text("1e-3"));
  CHECK_THAT(lines[1], contains_text("--set model.attention.pivots=8"));
  CHECK(lines[1].find("train.lr=1e-3") > lines[1].find("train.lr=1e-4"));  // the last one wins
}

TEST_CASE("sweep: what would make two cells one, or a cell another one, is refused") {
  CHECK_THAT(refusal({"--set", "train.seed=3"}),
             contains_text("--set train.seed=3") && contains_text("--seeds"));
  CHECK_THAT(refusal({"--set", " train.seed =3"}), contains_text("--seeds"));
  CHECK_THAT(refusal({"--set", "lotformer:train.seed=3"}), contains_text("--seeds"));
  CHECK_THAT(refusal({"--set", "model.attention.kind=softmax"}), contains_text("--attention"));
  CHECK_THAT(refusal({"--set", "task=text"}), contains_text("--tasks"));
  CHECK_THAT(refusal({"--run-dir", "elsewhere"}), contains_text("--run-dir") && contains_text("--out"));
  CHECK_THAT(refusal({"--run-dir=elsewhere"}), contains_text("--out"));
  CHECK_THAT(refusal({"--attention", "softmax", "--set", "lotformer:model.attention.pivots=8"}),
             contains_text("'lotformer' is not among the modules of this sweep (softmax)"));
  CHECK_THAT(refusal({"--tasks", "a/listops.yaml,b/listops.yaml"}), contains_text("listops is listed twice"));
  CHECK_THAT(refusal({"--tasks", "listops mine/listops.yaml"}), contains_text("listops is listed twice"));
  CHECK_THAT(refusal({"--tasks", "../listops"}), contains_text("'../listops' is neither a name nor a path"));
  CHECK_THAT(refusal({"--attention", "mean,mean"}), contains_text("mean is listed twice"));
  CHECK_THAT(refusal({"--attention", "../mean"}), contains_text("'../mean' is not the name of a module"));
  CHECK_THAT(refusal({"--seeds", "0 1 0"}), contains_text("seed 0 is listed twice"));
  for (const char* seed : {"x", "-1", "1.5", "007"}) {
    CHECK_THAT(refusal({"--seeds", seed}), contains_text("is not a whole number"));
  }
  CHECK_THAT(refusal({"--seeds", ","}), contains_text("an empty list"));
  CHECK_THAT(refusal({"--nonsense"}), contains_text("unknown argument --nonsense"));
  CHECK_THAT(refusal({"--set"}), contains_text("--set needs a value"));
}
