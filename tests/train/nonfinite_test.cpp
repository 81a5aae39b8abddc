// SPDX-License-Identifier: MIT
// Numbers that are not finite, put into chosen batches: what `stop` and `skip` make of them, and loss
// scaling.
#include "train/trouble_support.h"

namespace lotformer::test {

TEST_CASE("stop: a blow-up at a checkpoint step is saved nowhere, and the next start meets it again",
          "[train]") {
  Run run({}, {7});
  for (int start = 0; start < 2; ++start) {
    const std::string message = message_of(ErrorKind::numerics, [&] { run.train(); });
    for (const char* part : {"step 7: ", "Training rows of that batch: ", "Last checkpoint: step 4",
                             "train.on_nonfinite=rollback"})
      CHECK(contains(message, part));
    CHECK(run.folder().steps() == std::vector<int64_t>{4});
  }
  run.set("train.on_nonfinite=skip");  // what the message advises: the run is the same run
  CHECK(run.train().step == 24);
}

TEST_CASE("skip: the step of a bad batch changes the counter and nothing else", "[train]") {
  for (const Fault fault : {Fault::output, Fault::gradient}) {
    Run run({"train.on_nonfinite=skip", "train.checkpoint_every=1"}, {6, 7, 15}, fault);
    const Warnings warnings;
    const TrainState state = run.train();
    CHECK(FaultyAttention::trained == batches({{0, 24}}));
    const Checkpoint before = run.folder().checkpoint(6), after = run.folder().checkpoint(8),
                     later = run.folder().checkpoint(9);
    CHECK(equal(parameters(before), parameters(after)));
    CHECK(equal(before.optimizer, after.optimizer));
    CHECK_FALSE(equal(parameters(after), parameters(later)));
    CHECK(state.nonfinite.skipped_updates == 3);
    CHECK(after.state.at("nonfinite").at("in_a_row") == 2);
    CHECK(later.state.at("nonfinite").at("in_a_row") == 0);
    CHECK_FALSE(before.state.contains("nonfinite"));
    CHECK(of_steps(warnings).size() == 3);
    CHECK(contains(of_steps(warnings).at(0), "the last at step 6, training rows "));
    const std::vector<Json> lines = run.lines("train");
    CHECK(lines.at(6).at("skipped_updates") == 1);
    CHECK_FALSE(lines.at(8).contains("skipped_updates"));
    // Of a loss that is no number there is no mean; one that is finite counts although the update is left
    // out.
    CHECK(lines.at(6).at("loss").is_null() == (fault == Fault::output));
    CHECK(lines.at(8).at("loss").is_number());
  }
}

TEST_CASE("skip: a line of several steps is the mean over those with a finite loss", "[train]") {
  Run run({"train.on_nonfinite=skip", "train.log_every=8"}, {3});
  run.train();
  const std::vector<Json> lines = run.lines("train");
  CHECK(lines.at(0).at("loss").get<double>() > 1);
  CHECK(lines.at(0).at("loss").get<double>() < 4);
  CHECK(lines.at(0).at("skipped_updates") == 1);
}

TEST_CASE("skip: the limit counts steps in a row, across a resume", "[train]") {
  Run scattered({"train.on_nonfinite=skip"}, {2, 3, 5, 6, 8, 9, 20, 21});
  CHECK(scattered.train().nonfinite.skipped_updates == 8);
  Run run({"train.on_nonfinite=skip", "train.checkpoint_every=1"}, {9, 10, 11});
  const std::string message = message_of(ErrorKind::numerics, [&] { run.train(); });
  CHECK(contains(message, "step 11: "));
  CHECK(contains(message, "3 steps in a row (train.nonfinite_limit)"));
  CHECK(run.folder().steps().front() == 11);  // after steps 9 and 10
  CHECK(contains(message_of(ErrorKind::numerics, [&] { run.train(); }), "step 11: "));
}

TEST_CASE("skip: a killed and resumed run ends with the same bytes", "[train]") {
  Run run({"train.on_nonfinite=skip", "train.log_every=5"}, {6, 7, 8 + 1, 13});
  run.train();
  const std::string whole = run.bytes();
  for (const int64_t step : {0, 4, 8, 16}) {
    run.forget_after(step);
    run.train();
    CHECK(run.bytes() == whole);
  }
}

TEST_CASE("fp16: overflows lower the loss scale and stop nothing, until the scale has collapsed", "[train]") {
  Run passing({}, {0, 1, 2, 5, 6, 7, 8}, Fault::gradient);
  const TrainState state = passing.train("fp16");
  CHECK(state.step == 24);
  CHECK(state.nonfinite.empty());
  CHECK(passing.folder().checkpoint(24).state.at("scaler").at("scale") == 512);
  CHECK(passing.lines("train").at(5).at("skipped_updates") == 1);

  std::set<int64_t> all;
  for (int64_t batch = 0; batch < 200; ++batch) all.insert(batch);
  Run hopeless({"train.steps=100"}, all, Fault::gradient);
  const Warnings warnings;
  const std::string message = message_of(ErrorKind::numerics, [&] { hopeless.train("fp16"); });
  CHECK(contains(message, "step 27: fp16 gradients overflow although the loss scale has collapsed"));
  REQUIRE(of_steps(warnings).size() == 1);
  CHECK(contains(of_steps(warnings)[0], "the loss scale has fallen to 0.5"));
}

TEST_CASE("fp16, skip: a loss that is no number leaves the loss scale as it was", "[train]") {
  Run run({"train.on_nonfinite=skip"}, {3, 9}, Fault::output);
  CHECK(run.train("fp16").nonfinite.skipped_updates == 2);
  CHECK(run.folder().checkpoint(24).state.at("scaler").at("scale") == 65536);
}

}  // namespace lotformer::test
