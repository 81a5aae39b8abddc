// SPDX-License-Identifier: MIT
// The watch for runs that learn nothing, and the constant predictor it compares with.
#include "train/plateau.h"

#include <map>

#include "train/fixture_copy.h"
#include "train/run/results.h"
// after torch
#include "support/catch.h"

using namespace lotformer;

TEST_CASE("plateau: the constant predictor is the most frequent class of training, scored on another split",
          "[train]") {
  const test::FixtureCopy fixture("lra_release");
  const auto task = data::open_task("listops", fixture.options());
  const data::Dataset train = task->open(data::Split::train), val = task->open(data::Split::val);
  const ConstantPredictor found = constant_predictor(train, val, task->num_classes());
  std::map<int64_t, int64_t> seen, right;
  for (const int64_t row : test::all_rows(train)) ++seen[train.label(row)];
  for (const int64_t row : test::all_rows(val)) ++right[val.label(row)];
  for (const auto& [label, count] : seen) CHECK(count <= seen.at(found.label));
  CHECK(found.accuracy == static_cast<double>(right[found.label]) / static_cast<double>(val.size()));
}

TEST_CASE("plateau: one message, at its step, where accuracy is not above the constant predictor's",
          "[train]") {
  const ConstantPredictor constant{3, 0.178};
  const auto run = [&](double accuracy, int64_t log_every, int64_t after, int64_t steps) {
    PlateauWatch watch(after, constant);
    std::vector<std::pair<int64_t, std::string>> said;
    for (int64_t step = log_every; step <= steps; step += log_every) {
      const int64_t examples = 32 * log_every;
      if (const auto message = watch.add(step, accuracy * static_cast<double>(examples), examples))
        said.emplace_back(step, *message);
    }
    return said;
  };
  const auto stuck = run(0.178, 10, 2000, 6000);
  REQUIRE(stuck.size() == 1);
  CHECK(stuck[0].first == 2000);
  for (const char* part :
       {"step 2000", "17.8 %", "16,000 examples", "always answering class 3", "docs/troubleshooting.md"})
    CHECK_THAT(stuck[0].second, test::contains_text(part));
  CHECK(run(0.10, 10, 2000, 6000).size() == 1);
  CHECK(run(0.20, 10, 2000, 6000).empty());                   // 16,000 examples tell 20 % from 17.8 %
  CHECK(run(0.178, 10, 2000, 1990).empty());                  // a shorter run
  CHECK(run(0.178, 10, 0, 6000).empty());                     // never
  CHECK(run(0.178, 3000, 2000, 9000).front().first == 3000);  // the first line after it
  CHECK(run(0.178, 1, 1, 5).front().first == 1);
}

TEST_CASE("plateau: early luck does not count, and a resumed watch says the same", "[train]") {
  const ConstantPredictor constant{0, 0.178};
  PlateauWatch watch(100, constant);
  CHECK_FALSE(watch.add(50, 1600, 1600));  // before the last quarter
  CHECK_FALSE(watch.add(80, 100, 640));
  PlateauWatch resumed(100, constant);
  Json checkpoint;
  checkpoint["plateau"] = watch.state();
  resumed.load_state(checkpoint, "state.json");
  const auto message = watch.add(100, 100, 640);
  REQUIRE(message);
  CHECK(resumed.add(100, 100, 640) == message);
  // Once is enough, after another resume too.
  PlateauWatch later(100, constant);
  checkpoint["plateau"] = watch.state();
  later.load_state(checkpoint, "state.json");
  CHECK_FALSE(later.add(120, 1, 640));
  CHECK_FALSE(watch.add(120, 1, 640));
  PlateauWatch old(100, constant);
  old.load_state(Json::object(), "state.json");  // a checkpoint of an earlier build
  CHECK(old.add(100, 1, 640));
}

TEST_CASE("plateau: learned means above the constant predictor by the interval of the score", "[train]") {
  const ConstantPredictor constant{0, 0.178};
  const auto learned = [&](double accuracy, int64_t examples) {
    return has_learned(
        {.step = 1, .accuracy = accuracy, .loss = 1, .examples = examples, .available = examples}, constant);
  };
  CHECK_FALSE(learned(0.178, 2000));
  CHECK_FALSE(learned(0.19, 2000));  // +- 1.7 points
  CHECK(learned(0.20, 2000));
  CHECK_FALSE(learned(0.25, 50));
}
