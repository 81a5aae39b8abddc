// SPDX-License-Identifier: MIT
// A run that learns nothing says so: on the console at train.plateau_steps, and in results.json.
#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

struct Told {
  std::string err;
  Json results;
};

Told train(const std::vector<std::string>& settings) {
  const TemporaryFolder folder;
  std::vector<std::string> more = {"--json"};
  for (const std::string& setting : settings) more.insert(more.end(), {"--set", setting});
  const Finished done = run(train_command(folder.path() / "run", more));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return {done.err, Json::parse(done.out)};
}

bool warned(const Told& told) {
  return told.err.find("attention has not yet found anything") != std::string::npos;
}

}  // namespace

TEST_CASE("a run that stays at the constant predictor is told so once, and its results say learned: false",
          "[cli]") {
  const Told stuck = train({"train.lr=1e-12", "train.plateau_steps=40"});
  CHECK(warned(stuck));
  CHECK(stuck.results.at("learned") == false);
  CHECK(stuck.results.at("constant_predictor").at("val_accuracy").get<double>() > 0.1);
  // Without --json the summary says so too.
  const TemporaryFolder folder;
  const Finished told = run(
      train_command(folder.path() / "run", {"--set", "train.lr=1e-12", "--set", "train.plateau_steps=40"}));
  CHECK(told.out.find("NOT LEARNED: no better than always answering class") != std::string::npos);

  // Shorter runs, and runs that are not to be watched, are left alone.
  for (const char* setting : {"train.plateau_steps=61", "train.plateau_steps=0"}) {
    INFO(setting);
    const Told quiet = train({"train.lr=1e-12", setting});
    CHECK_FALSE(warned(quiet));
    CHECK_FALSE(quiet.results.contains("learned"));
  }
}

TEST_CASE("a run that learns is not warned", "[cli]") {
  // Every token of the smallest trees is seen, so a few hundred steps leave the constant predictor behind.
  const Told learned =
      train({"train.lr=5e-3", "train.steps=400", "train.plateau_steps=400", "train.batch_size=32",
             "train.warmup_steps=20", "train.eval_every=400", "train.checkpoint_every=0"});
  CHECK_FALSE(warned(learned));
}
