// SPDX-License-Identifier: MIT
#include <ATen/Parallel.h>
#include <torch/utils.h>

#include <chrono>
#include <memory>

#include "lotformer/attention/attention.h"
#include "lotformer/core/error.h"
#include "lotformer/core/median.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/device_memory.h"
#include "lotformer/train/step_measurement.h"
#include "operator_counter.h"
#include "recording.h"
#include "step_graphs.h"
#include "train/feed/batch_stream.h"
#include "training_step.h"

namespace lotformer {
namespace {

using Chunks = std::vector<Batch>;

/// A kind with its model, its batches and both ways to do a step.
class Subject {
 public:
  Subject(const Config& config, const StepRequest& request)
      : session_(open_session(config, parse_device(request.device))),
        maker_(open_split(session_, data::Split::train), config.data, session_.device,
               batch_shapes(session_)),
        step_(session_),
        usual_(step_, GraphPolicy::off, &seed, usually()),
        policy_(graph_policy(config.train.graph, session_.device)),
        graphs_(step_, policy_, &seed, usually()) {
    session_.model->train();
    make_batches(request.batches);
  }

  /// What the libraries need, what is counted, and the recordings.
  void warm_up() {
    for (const Chunks& chunks : batches_) usual_.run(chunks);
    OperatorCounter counter;
    usual_.run(batches_[0]);
    counts_ = counter.finish();
    for (int repeat = 0; repeat < 3; ++repeat) {
      for (const Chunks& chunks : batches_) graphs_.run(chunks);
    }
  }

  void measure_round() {
    for (const Chunks& chunks : batches_) {
      usual_times_.push_back(microseconds([&] { usual_.run(chunks); }));
      if (policy_ != GraphPolicy::off) graph_times_.push_back(microseconds([&] { graphs_.run(chunks); }));
    }
  }

  Json row() const {
    const int64_t recordings = graphs_.recordings();
    return {{"attention", attention_name(session_.config)},
            {"parameters", count_parameters(*session_.model)},
            {"precision", session_.precision},
            {"batch", session_.config.train.batch_size},
            {"tokens", tokens_ / static_cast<int64_t>(batches_.size())},
            {"operators", counts_.total()},
            {"operator_counts", counts_.calls},
            {"host_reads", counts_.host_reads},
            {"bytes", counts_.bytes},
            {"median_us", median(usual_times_)},
            {"graph_us", recordings > 0 ? Json(median(graph_times_)) : Json(nullptr)},
            {"recordings", recordings},
            {"peak_memory_bytes", peak_memory_bytes(session_.device)}};
  }
  const Session& session() const { return session_; }

 private:
  static void seed() { torch::manual_seed(1); }
  StepGraphs::Work usually() {
    return [this](const Chunks& chunks, bool look) {
      seed();
      return step_.run(chunks, look);
    };
  }

  void make_batches(int64_t count) {
    const data::Sampler sampler(maker_.dataset().size(), session_.config.train.batch_size,
                                static_cast<uint64_t>(session_.config.train.seed));
    const auto stream = training_stream(maker_, sampler, session_.config, 0, count);
    for (int64_t number = 0; number < count; ++number) {
      StepBatches step = next_step(*stream, training_chunks(session_.config.train));
      batches_.push_back(std::move(step.chunks));
      tokens_ += step.tokens;
    }
    step_.prepare(0, session_.config.train.lr * session_.config.train.warmup_start);
  }

  template <class Work>
  double microseconds(const Work& work) const {
    const auto wait = [this] {
      if (session_.device.is_cuda()) cuda_synchronize(session_.device.index());
    };
    wait();
    const auto start = std::chrono::steady_clock::now();
    work();
    wait();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }

  Session session_;
  BatchMaker maker_;
  TrainingStep step_;
  StepGraphs usual_;
  GraphPolicy policy_;
  StepGraphs graphs_;
  std::vector<Chunks> batches_;
  int64_t tokens_ = 0;
  OperatorCounts counts_;
  std::vector<double> usual_times_, graph_times_;
};

std::vector<std::unique_ptr<Subject>> make_subjects(const StepRequest& request) {
  const Kinds kinds = {attention_kinds(), data::task_kinds()};
  std::vector<std::string> wanted = request.kinds;
  if (wanted.empty()) wanted.push_back(load_config(request.config, kinds).attention_kind);
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const std::string& kind : wanted) {
    ConfigRequest own = request.config;
    own.assignments.push_back("model.attention.kind=" + kind);
    subjects.push_back(std::make_unique<Subject>(load_config(own, kinds), request));
  }
  return subjects;
}

}  // namespace

Json measure_step(const StepRequest& request) {
  const OwnStream stream(parse_device(request.device));
  const auto subjects = make_subjects(request);
  for (const auto& subject : subjects) subject->warm_up();
  for (int64_t round = 0; round < request.rounds; ++round) {
    for (const auto& subject : subjects) subject->measure_round();
  }
  const Session& session = subjects.front()->session();
  Json report = {{"device", device_name(session.device)},
                 {"threads", session.threads},
                 {"build_id", build_id()},
                 {"task", session.task->name()},
                 {"data_origin", session.task->data_origin()},
                 {"rounds", request.rounds},
                 {"batches", request.batches},
                 {"rows", Json::array()}};
  for (const auto& subject : subjects) report["rows"].push_back(subject->row());
  return report;
}

}  // namespace lotformer
