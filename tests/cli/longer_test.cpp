// SPDX-License-Identifier: MIT
// Runs that are made longer (--extend), and runs that begin with the weights of another (--init-from).
#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> settings(std::vector<std::string> assignments, std::vector<std::string> more = {}) {
  std::vector<std::string> all = {"--set", "train.eval_every=4", "--set", "train.log_every=1"};
  for (std::string& assignment : assignments) {
    all.push_back("--set");
    all.push_back(std::move(assignment));
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::vector<int64_t> train_steps(const fs::path& path) {
  std::vector<int64_t> steps;
  for (const Json& line : read_lines(path / "metrics.jsonl")) {
    if (line.at("split") == "train") steps.push_back(line.at("step"));
  }
  return steps;
}

}  // namespace

TEST_CASE("--extend makes a finished run longer, and nothing else does", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, settings({"train.steps=8"})));
  const std::string before = slurp(path / "results.json");
  CHECK_THAT(must_run(train_command(path, settings({"train.steps=12"})), 2).err,
             contains_text("train.steps was 8, is 12") && contains_text("--extend"));
  CHECK_THAT(must_run(train_command(path, settings({"train.steps=12", "train.lr=0.1"}, {"--extend"})), 2).err,
             contains_text("train.lr"));
  CHECK_THAT(must_run(train_command(path, settings({"train.steps=6"}, {"--extend"})), 2).err,
             contains_text("is a run of 8 steps"));
  CHECK_THAT(
      must_run(train_command(folder.path() / "none", settings({"train.steps=12"}, {"--extend"})), 2).err,
      contains_text("there is no run"));
  CHECK(!fs::exists(folder.path() / "none"));
  CHECK(slurp(path / "results.json") == before);

  const Finished longer = must_run(train_command(path, settings({"train.steps=12"}, {"--extend"})));
  CHECK_THAT(longer.err, contains_text("extended from 8 to 12 steps"));
  CHECK(train_steps(path) == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(Json::parse(slurp(path / "results.json")).at("steps") == 12);
  CHECK(slurp(path / "results-step-8.json") == before);
  CHECK(Json::parse(slurp(path / "results.json")).at("extended_from") == Json({8}));
  // From here on it is a run of twelve steps, with the flag and without.
  for (const auto& more : {std::vector<std::string>{}, {"--extend"}})
    CHECK_THAT(must_run(train_command(path, settings({"train.steps=12"}, more))).err,
               contains_text("this run is finished"));
}

TEST_CASE("--extend of a run without checkpoints changes nothing", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, settings({"train.steps=8"})));
  fs::remove_all(path / "checkpoints");
  const std::string metrics = slurp(path / "metrics.jsonl"), results = slurp(path / "results.json");
  CHECK_THAT(must_run(train_command(path, settings({"train.steps=12"}, {"--extend"})), 4).err,
             contains_text("holds no whole checkpoint"));
  CHECK(slurp(path / "metrics.jsonl") == metrics);
  CHECK(slurp(path / "results.json") == results);
}

TEST_CASE("an extension that is broken off goes on to the same bytes", "[cli]") {
  const TemporaryFolder folder;
  const fs::path whole = folder.path() / "whole", broken = folder.path() / "broken";
  for (const fs::path& path : {whole, broken}) must_run(train_command(path, settings({"train.steps=8"})));
  must_run(train_command(whole, settings({"train.steps=300"}, {"--extend"})));
  {
    Process process(train_command(broken, settings({"train.steps=300"}, {"--extend"})));
    for (int i = 0; i < 2000 && train_steps(broken).size() < 20; ++i) ::usleep(5000);
    process.signal(SIGKILL);
    process.wait();
  }
  CHECK(!fs::exists(broken / "results.json"));
  must_run(train_command(broken, settings({"train.steps=300"})));
  CHECK(run_bytes(broken) == run_bytes(whole));
}

TEST_CASE("--init-from takes the weights that fit, says which, and results say so", "[cli]") {
  const TemporaryFolder folder;
  const fs::path first = folder.path() / "first", second = folder.path() / "second",
                 other = folder.path() / "other";
  must_run(train_command(first, settings({"train.steps=60", "train.seed=1"})));
  CHECK_THAT(must_run({.program = "lotformer-train",
                       .arguments = {"--config", LOTFORMER_TEST_DATA "/configs/tiny.yaml", "--init-from",
                                     first.string()}},
                      2)
                 .err,
             contains_text("--run-dir"));
  const auto from = [&](const fs::path& path) {
    return std::vector<std::string>{"--init-from", path.string()};
  };
  const Finished done = must_run(
      train_command(second, settings({"train.steps=2", "train.lr=1e-12", "train.seed=2"}, from(first))));
  CHECK_THAT(done.err, contains_text("tensors taken"));
  const Json results = Json::parse(slurp(second / "results.json"));
  CHECK(results.at("init_from").at("path") == fs::canonical(first).string());
  // Without a learning rate they are the weights that they were.
  const Json origin = Json::parse(slurp(first / "results.json"));
  CHECK(results.at("test").at("accuracy") == origin.at("test").at("accuracy"));
  CHECK_THAT(must_run(train_command(second, settings({"train.steps=2", "train.lr=1e-12", "train.seed=2"},
                                                     from(second))),
                      2)
                 .err,
             contains_text("was begun with"));

  const Finished wider =
      must_run(train_command(other, settings({"train.steps=2", "model.ff_dim=48"}, from(first))));
  CHECK_THAT(wider.err, contains_text("begin anew"));
  CHECK_THAT(wider.err, contains_text("there, "));
  CHECK_THAT(must_run(train_command(folder.path() / "no",
                                    settings({"train.steps=2"}, from(folder.path() / "nowhere"))),
                      4)
                 .err,
             contains_text("nowhere"));
}
