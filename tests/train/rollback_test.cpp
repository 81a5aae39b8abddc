// SPDX-License-Identifier: MIT
// Runs that go back to a checkpoint, runs that divide their batches, and that a resumed one makes the same of
// it.
#include "train/trouble_support.h"

namespace lotformer::test {

TEST_CASE("skipped batches: a step has the batch of its place among those that are left", "[train]") {
  torch::manual_seed(1);
  for (uint64_t trial = 0; trial < 50; ++trial) {
    SkippedBatches skipped;
    std::set<int64_t> out;
    for (uint64_t i = 0; i < trial % 6; ++i) {
      const auto first = static_cast<int64_t>(mix_seeds(trial, 2 * i) % 40);
      const auto end = first + static_cast<int64_t>(mix_seeds(trial, 2 * i + 1) % 9);
      skipped.skip(first, end);
      for (int64_t batch = first; batch < end; ++batch) out.insert(batch);
    }
    INFO("trial " << trial << " " << to_line(skipped.state()));
    int64_t step = 0;
    for (int64_t batch = 0; batch < 60; ++batch) {
      if (out.count(batch) == 0) REQUIRE(skipped.batch_of(step++) == batch);
    }
    CHECK(SkippedBatches::from_state(skipped.state(), "test").state() == skipped.state());
    CHECK(skipped.empty() == out.empty());
  }
  for (const char* text : {"{}", "[3]", "[[1]]", "[[2, 2]]", "[[-1, 2]]", "[[1, \"2\"]]"})
    CHECK(contains(message_of(ErrorKind::checkpoint,
                              [&] { SkippedBatches::from_state(Json::parse(text), "state.json"); }),
                   "state.json: 'skipped_batches'"));
}

TEST_CASE("rollback: from the newest checkpoint with a smaller rate, without the batches that led there",
          "[train]") {
  Run run({"train.on_nonfinite=rollback"}, {10, 17});
  const Warnings warnings;
  const TrainState state = run.train();
  // 10 blows up: back to 8, batches 8 to 10 are left out. 17 is then of step 14: back to 12, whose batch
  // is 15.
  CHECK(FaultyAttention::trained == batches({{0, 11}, {11, 18}, {18, 30}}));
  REQUIRE(state.nonfinite.rollbacks.size() == 2);
  const Rollback& second = state.nonfinite.rollbacks[1];
  CHECK(second.from == 14);
  CHECK(second.to == 12);
  CHECK(second.first_batch == 15);
  CHECK(second.end_batch == 18);
  CHECK(state.nonfinite.lr_factor == 0.25);
  CHECK(contains(of_steps(warnings).at(0), "Rolled back to step 8 (1 of at most 3): batches 8 to 10"));
  const std::vector<Json> told = run.lines("rollback"), lines = run.lines("train");
  REQUIRE(told.size() == 2);
  CHECK(told[1].at("lr_factor") == 0.25);
  // Every step stands there once, with the rate of its own.
  REQUIRE(lines.size() == 24);
  Run clean({"train.on_nonfinite=rollback"}, {});
  clean.train();
  const std::vector<Json> plain = clean.lines("train");
  for (size_t step = 0; step < 24; ++step) {
    CHECK(lines[step].at("step") == step + 1);
    const double factor = step < 8 ? 1 : step < 12 ? 0.5 : 0.25;
    CHECK(lines[step].at("lr").get<double>() == plain[step].at("lr").get<double>() * factor);
    CHECK((step >= 8 || lines[step] == plain[step]));
  }
}

TEST_CASE("rollback: a window leaves out fewer batches; without a checkpoint it begins anew", "[train]") {
  Run run({"train.on_nonfinite=rollback", "train.rollback_window=1"}, {2, 10});
  run.train();
  CHECK(FaultyAttention::trained == batches({{0, 3}, {0, 2}, {3, 11}, {9, 10}, {11, 26}}));
  CHECK(run.lines("rollback").at(0).at("to") == 0);
  CHECK(run.folder().checkpoint(24).state.at("nonfinite").at("skipped_batches") ==
        Json::array({Json::array({2, 3}), Json::array({10, 11})}));
}

TEST_CASE("rollback: at most so many, then code 6 and the last good checkpoint stays", "[train]") {
  std::set<int64_t> all;
  for (int64_t batch = 9; batch < 200; ++batch) all.insert(batch);
  Run run({"train.on_nonfinite=rollback", "train.nonfinite_limit=2"}, all);
  const std::string message = message_of(ErrorKind::numerics, [&] { run.train(); });
  CHECK(contains(message, "after 2 rollbacks (train.nonfinite_limit 2)"));
  CHECK(run.folder().steps().front() == 8);
  CHECK(run.folder().checkpoint(8).state.at("nonfinite").at("rollbacks").size() == 2);
  // The next start does not get two more.
  message_of(ErrorKind::numerics, [&] { run.train(); });
  CHECK(run.lines("rollback").size() == 2);
}

TEST_CASE("rollback: a killed and resumed run ends with the same bytes", "[train]") {
  Run run({"train.on_nonfinite=rollback", "train.log_every=5"}, {10, 17});
  run.train();
  const std::string whole = run.bytes();
  for (const int64_t step : {4, 8, 12, 16}) {
    run.forget_after(step);
    run.set("train.rollback_lr=0.5");
    run.train();
    CHECK(run.bytes() == whole);
  }
  // What has been done is a part of the state, whatever the keys say by now.
  run.forget_after(12);
  run.set("train.on_nonfinite=stop");
  run.set("train.rollback_lr=0.9");
  CHECK(run.train().nonfinite.lr_factor == 0.25);
}

TEST_CASE("rollback and skip: the same where steps are played back from recordings", "[train]") {
  for (const char* policy : {"skip", "rollback"}) {
    INFO(policy);
    Json histories = Json::array();
    for (const char* graph : {"off", "on"}) {
      Run run({concat("train.on_nonfinite=", policy), concat("train.graph=", graph), "train.log_every=7"},
              {5, 6, 15});
      histories.push_back(to_json(run.train().nonfinite));
    }
    CHECK(histories[0] == histories[1]);
    CHECK(histories[1].at("skipped_updates").get<int64_t>() +
              static_cast<int64_t>(histories[1].at("rollbacks").size()) >=
          2);
  }
}

TEST_CASE("the log of a run whose lines come a step late is that of any other", "[train]") {
  for (const char* every : {"1", "3", "5"}) {
    INFO("train.log_every=" << every);
    const std::string log_every = concat("train.log_every=", every);
    Run usual({log_every, "train.graph=off", "train.diagnostics_every=6"}, {});
    usual.train();
    Run late({log_every, "train.graph=on", "train.diagnostics_every=6"}, {});
    late.train();
    const std::vector<Json> wanted = usual.lines(), found = late.lines();
    REQUIRE(found.size() == wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      CHECK(found[i].at("step") == wanted[i].at("step"));
      CHECK(found[i].at("split") == wanted[i].at("split"));
      // Recordings want shapes of their own, in which sums have another order.
      if (wanted[i].at("split") == "diagnostics") continue;
      CHECK(found[i].value("lr", 0.0) == wanted[i].value("lr", 0.0));
      CHECK(found[i].at("accuracy") == wanted[i].at("accuracy"));
      CHECK(found[i].at("loss").get<double>() ==
            Catch::Approx(wanted[i].at("loss").get<double>()).epsilon(1e-4));
    }
    const std::string metrics = read_file(late.folder().metrics_file(), ErrorKind::data);
    for (const int64_t step : {4, 16}) {
      late.forget_after(step);
      late.train();
      CHECK(read_file(late.folder().metrics_file(), ErrorKind::data) == metrics);
    }
  }
}

TEST_CASE("microbatch: chunks that fit are found, and the run is that of so many chunks", "[train]") {
  Run divided({"train.accumulate=4", "train.steps=9"}, {});
  divided.train();
  Run run({"train.microbatch=auto", "train.steps=9"}, {});
  FaultyAttention::room = 2;
  const Warnings warnings;
  CHECK(run.train().chunks == 4);
  REQUIRE(of_steps(warnings).size() == 2);
  CHECK(contains(of_steps(warnings)[1], "step 0: out of memory; steps are done in 4 chunks"));
  CHECK(run.lines("microbatch").size() == 2);
  for (const int64_t step : {4, 9}) {
    INFO(step);
    const Checkpoint found = run.folder().checkpoint(step), wanted = divided.folder().checkpoint(step);
    CHECK(equal(found.model, wanted.model));  // the buffer that counts forward passes included
    CHECK(equal(found.optimizer, wanted.optimizer));
    CHECK(found.state.at("chunks") == 4);
  }
  CHECK(run.lines("train") == divided.lines("train"));
  const std::string whole = run.bytes();
  run.forget_after(4);
  run.train();
  CHECK(run.bytes() == whole);
}

TEST_CASE("microbatch: without auto, or where one example does not fit, memory is an error", "[train]") {
  Run fixed({}, {});
  FaultyAttention::room = 2;
  CHECK_THROWS_AS(fixed.train(), c10::OutOfMemoryError);
  Run run({"train.microbatch=auto", "train.batch_size=3"}, {});
  FaultyAttention::room = -1;
  CHECK_THROWS_AS(run.train(), c10::OutOfMemoryError);
  CHECK(run.lines("microbatch").back().at("chunks") == 3);
}

}  // namespace lotformer::test
