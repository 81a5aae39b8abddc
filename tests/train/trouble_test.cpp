// SPDX-License-Identifier: MIT
// Numbers that are not finite, put into chosen batches, and memory that does not suffice: what a run makes of
// them, and that a resumed one makes the same of it.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "lotformer/config/load.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/rng.h"
#include "train/trainer.h"
// after torch
#include "train/checkpoint_support.h"
#include "train/fixture_copy.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;
using test::contains;
using test::message_of;

enum class Fault { output, gradient };

/// Passes values on, and spoils chosen batches. It knows a batch by the random numbers that belong to it.
class FaultyAttention final : public AttentionImpl {
 public:
  static inline std::set<int64_t> bad = {};
  static inline Fault fault = Fault::output;
  /// Batches of the steps so far, each once.
  static inline std::vector<int64_t> trained = {};

  /// Examples at once that memory suffices for; 0: any number.
  static inline int64_t room = 0;

  FaultyAttention() : AttentionImpl("faulty") { calls_ = register_buffer("calls", at::zeros({})); }

 private:
  at::Tensor attend(const at::Tensor&, const at::Tensor&, const at::Tensor& v, const at::Tensor&) override {
    if (!is_training()) return v.clone();
    calls_ += 1;
    TORCH_CHECK_WITH(OutOfMemoryError, room == 0 || v.size(0) <= room, "can't allocate memory: injected");
    const uint64_t seed = at::detail::getDefaultCPUGenerator().current_seed();
    for (int64_t batch = 0; batch < 200; ++batch) {
      if (seed == mix_seeds(0, static_cast<uint64_t>(batch) + 1)) return spoil(v, batch);
    }
    return v.clone();
  }
  static at::Tensor spoil(const at::Tensor& v, int64_t batch) {
    trained.push_back(batch);
    if (bad.count(batch) == 0) return v.clone();
    if (fault == Fault::output) return v * std::numeric_limits<double>::quiet_NaN();
    const at::Tensor out = v.clone();
    out.register_hook([](const at::Tensor& gradient) { return gradient * INFINITY; });
    return out;
  }
  at::Tensor calls_;
};

/// A run of 24 steps on the fixture's ListOps in a folder of its own.
class Run {
 public:
  explicit Run(const std::vector<std::string>& settings, std::set<int64_t> bad, Fault fault = Fault::output)
      : fixture_("lra_release"),
        folder_("trouble_" + std::to_string(++count_)),
        run_(folder_.path() / "run"),
        settings_(settings) {
    set_faults(std::move(bad), fault);
    lock_.emplace(run_.begin({config_to_json(config()), Json::object(), std::nullopt}));
    fs::create_directories(run_.checkpoints_folder());
  }

  /// As a start of the program: from the newest checkpoint, if there is one. Steps of the state at the end.
  TrainState train(const std::string& precision = "fp32") {
    FaultyAttention::trained.clear();
    Session session = open_session(config(), c10::kCPU, 1);
    session.precision = precision;
    torch::manual_seed(1);
    ClassifierOptions options;
    options.encoder = {session.task->vocab_size(), 40, 1, 16, 2, 8, 16, /*dropout=*/0.1};
    options.classes = session.task->num_classes();
    session.model = std::make_shared<ClassifierImpl>(
        options, [](const AttentionShape&) { return std::make_shared<FaultyAttention>(); });
    Trainer trainer(session, session.task->open(data::Split::train), session.task->open(data::Split::val),
                    run_);
    if (const auto checkpoint = run_.latest_whole())
      trainer.restore(*checkpoint);
    else
      trainer.start_afresh();
    trainer.run();
    return trainer.state();
  }
  /// As a kill before anything later than `step` was saved.
  void forget_after(int64_t step) {
    for (const int64_t saved : run_.steps()) {
      if (saved > step) fs::remove_all(run_.checkpoint_folder(saved));
    }
  }
  const RunFolder& folder() const { return run_; }
  void set(const std::string& setting) { settings_.push_back(setting); }
  std::vector<Json> lines(const std::string& split) const {
    std::vector<Json> found;
    std::istringstream in(read_file(run_.metrics_file(), ErrorKind::data));
    for (std::string line; std::getline(in, line);) {
      Json json = Json::parse(line);
      if (json.at("split") == split) found.push_back(std::move(json));
    }
    return found;
  }
  /// What a kill and a resume must not change.
  std::string bytes() const {
    std::string all = read_file(run_.metrics_file(), ErrorKind::data);
    for (const int64_t step : run_.steps()) {
      all += std::to_string(step);
      for (const char* name : {kModelFile, kOptimizerFile, kStateFile})
        all += read_file(run_.checkpoint_folder(step) / name, ErrorKind::data);
    }
    return all;
  }

 private:
  static void set_faults(std::set<int64_t> bad, Fault fault) {
    FaultyAttention::bad = std::move(bad);
    FaultyAttention::fault = fault;
    FaultyAttention::room = 0;
  }
  Config config() const {
    std::vector<std::string> all = {"data.root=" + fixture_.options().root,
                                    "data.max_length=40",
                                    "train.steps=24",
                                    "train.eval_every=0",
                                    "train.checkpoint_every=4",
                                    "train.keep=100",
                                    "train.log_every=1"};
    all.insert(all.end(), settings_.begin(), settings_.end());
    return load_config({LOTFORMER_TEST_DATA "/configs/tiny.yaml", all},
                       {attention_kinds(), data::task_kinds()});
  }
  static inline int count_ = 0;
  test::FixtureCopy fixture_;
  test::TemporaryFolder folder_;
  RunFolder run_;
  std::vector<std::string> settings_;
  std::optional<FileLock> lock_;
};

/// first ... end - 1, one list after the other.
std::vector<int64_t> batches(std::initializer_list<std::pair<int64_t, int64_t>> intervals) {
  std::vector<int64_t> all;
  for (const auto& [first, end] : intervals) {
    for (int64_t batch = first; batch < end; ++batch) all.push_back(batch);
  }
  return all;
}

bool equal(const TensorMap& a, const TensorMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && at::equal(x.second, y.second);
  });
}

/// Without the buffer that counts forward passes, which there have been.
TensorMap parameters(const Checkpoint& checkpoint) {
  TensorMap tensors = checkpoint.model;
  std::erase_if(tensors, [](const auto& item) { return contains(item.first, "calls"); });
  return tensors;
}

/// Warnings of training steps, without those about the small data.
std::vector<std::string> of_steps(const test::Warnings& warnings) {
  std::vector<std::string> found;
  for (const std::string& text : warnings.list) {
    if (text.rfind("step ", 0) == 0) found.push_back(text);
  }
  return found;
}

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
    const test::Warnings warnings;
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

TEST_CASE("rollback: from the newest checkpoint with a smaller rate, without the batches that led there",
          "[train]") {
  Run run({"train.on_nonfinite=rollback"}, {10, 17});
  const test::Warnings warnings;
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

TEST_CASE("microbatch: chunks that fit are found, and the run is that of so many chunks", "[train]") {
  Run divided({"train.accumulate=4", "train.steps=9"}, {});
  divided.train();
  Run run({"train.microbatch=auto", "train.steps=9"}, {});
  FaultyAttention::room = 2;
  const test::Warnings warnings;
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
  const test::Warnings warnings;
  const std::string message = message_of(ErrorKind::numerics, [&] { hopeless.train("fp16"); });
  CHECK(contains(message, "step 27: fp16 gradients overflow although the loss scale has collapsed"));
  REQUIRE(of_steps(warnings).size() == 1);
  CHECK(contains(of_steps(warnings)[0], "the loss scale has fallen to 0.5"));
}

}  // namespace
}  // namespace lotformer
