// SPDX-License-Identifier: MIT
// Runs whose batches blow up or do not fit, where a test wants it. Torch before Catch2.
#pragma once

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

namespace lotformer::test {
namespace fs = std::filesystem;

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
  /// Of metrics.jsonl; of one split where one is named.
  std::vector<Json> lines(const std::string& split = "") const {
    std::vector<Json> found;
    std::istringstream in(read_file(run_.metrics_file(), ErrorKind::data));
    for (std::string line; std::getline(in, line);) {
      Json json = Json::parse(line);
      if (split.empty() || json.at("split") == split) found.push_back(std::move(json));
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
  FixtureCopy fixture_;
  TemporaryFolder folder_;
  RunFolder run_;
  std::vector<std::string> settings_;
  std::optional<FileLock> lock_;
};

/// first ... end - 1, one list after the other.
inline std::vector<int64_t> batches(std::initializer_list<std::pair<int64_t, int64_t>> intervals) {
  std::vector<int64_t> all;
  for (const auto& [first, end] : intervals) {
    for (int64_t batch = first; batch < end; ++batch) all.push_back(batch);
  }
  return all;
}

inline bool equal(const TensorMap& a, const TensorMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && at::equal(x.second, y.second);
  });
}

/// Without the buffer that counts forward passes, which there have been.
inline TensorMap parameters(const Checkpoint& checkpoint) {
  TensorMap tensors = checkpoint.model;
  std::erase_if(tensors, [](const auto& item) { return contains(item.first, "calls"); });
  return tensors;
}

/// Warnings of training steps, without those about the small data.
inline std::vector<std::string> of_steps(const Warnings& warnings) {
  std::vector<std::string> found;
  for (const std::string& text : warnings.list) {
    if (text.rfind("step ", 0) == 0) found.push_back(text);
  }
  return found;
}

}  // namespace lotformer::test
