// SPDX-License-Identifier: MIT
// The training loop. One turn: evaluate (when due), save (when due), check for a signal, then batch -> step
// -> metrics. Evaluation stands before saving, so that "resumed" and "never stopped" are the same sequence. A
// turn that meets numbers that are not finite ends the run, or leads back to a checkpoint. Where several
// processes train one model all go through the same turns, and rank 0 alone writes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/data/dataset.h"
#include "lotformer/data/sampler.h"
#include "plateau.h"
#include "session.h"
#include "stop_guard.h"
#include "train/feed/batch_stream.h"
#include "train/inspect/profiler.h"
#include "train/inspect/solver_tally.h"
#include "train/run/checkpoint.h"
#include "train/run/run_folder.h"
#include "train/run/run_log.h"
#include "train/step/late_numbers.h"
#include "train/step/recording.h"
#include "train/step/step_graphs.h"
#include "train/step/training_step.h"
#include "train_state.h"

namespace lotformer {

class Trainer {
 public:
  Trainer(Session& session, data::Dataset train, data::Dataset val, const RunFolder& run);

  /// Weights, optimiser, counters and the length of metrics.jsonl as they were. look_at_best() comes next.
  void restore(const Checkpoint& checkpoint);
  /// Collective, after restore(): a best checkpoint that cannot be used is lost here, not at the end
  /// (lose_best).
  void look_at_best();
  /// Collective: Error(internal) naming the first process whose weights are not those of the first.
  void require_same_weights() const;
  /// The best checkpoint is damaged or gone: the latest takes its place where it has been scored, else the
  /// next evaluation's. A warning says `why`, and results say which it was.
  void lose_best(const std::string& why);
  /// Without a checkpoint: what a killed run logged before its first checkpoint is dropped, because it will
  /// be logged again.
  void start_afresh() { log_.truncate_metrics(0); }
  /// To be called before run().
  void profile(ProfileRequest request);
  /// Trains until train.steps. Error(interrupted) after a signal (state saved), Error(numerics) for
  /// non-finite numbers where train.on_nonfinite knows no way on.
  void run();
  /// Scores a split with the weights as they are and logs it under `checkpoint` ("best" or "last").
  Score score(const data::Dataset& dataset, const std::string& split, const std::string& checkpoint,
              int64_t step);

  const TrainState& state() const { return state_; }
  /// A checkpoint, unless this state has one.
  void save();

 private:
  bool turn();  // false: all steps are done
  void begin_stream();
  void open_tensorboard();
  std::unique_ptr<Profiler> profiler_;
  std::optional<StepSight> step();  // nothing: it is to be done again, in more chunks
  bool split_further(const std::exception& error);
  /// Of this process's part of a batch. The state, which one process may have found under microbatch: auto,
  /// counts those of the whole.
  int64_t chunks() const {
    const int64_t whole = state_.chunks > 0 ? state_.chunks : config_.accumulate;
    return chunks_of_share(whole, config_.batch_size, world_.size());
  }
  StepSight usual_step(const std::vector<Batch>& chunks, bool look);  // not played back from a recording
  BatchGradients gradients(const std::vector<Batch>& chunks, StepSight& sight, bool look);
  void seed_step() const;
  void log_if_due(const StepSight& sight);
  std::vector<at::Tensor> logged_numbers(const StepSight& sight, const SolverTally& transport);
  void write_line();
  void keep_line() noexcept;
  void warn_of_plateau(int64_t step, const LogWindow::Means& means);
  void diagnose_if_due();
  void adapt_ranks_if_due();
  bool evaluate_if_due();  // false: interrupted
  [[noreturn]] void stop();
  int signal() const;  // that some process has got
  NamedTensors model_tensors() const;
  Json sampler_record() const;
  void restore_sampler(const Json& saved, const std::string& where) const;
  void restore_scaler(const Json& saved, const std::string& where);
  void stop_if_not_finite();
  void require_finite(const NamedTensors& tensors) const;
  [[noreturn]] void fail(const std::string& what) const;  // Error(numerics)
  bool may_roll_back() const {
    return config_.on_nonfinite == "rollback" &&
           static_cast<int64_t>(state_.nonfinite.rollbacks.size()) < config_.nonfinite_limit;
  }
  std::optional<Checkpoint> whole_checkpoint_until(int64_t step) const;
  bool roll_back(const Error& why);  // false: it may not, or has nowhere to go
  void read_skips();
  void tell_of_skips(int64_t step, const FiniteWatch::Count& skips, int64_t skipped, double scale);
  std::string rows_of(int64_t step);  // training rows of its batch
  int64_t batch_of(int64_t step) const { return state_.nonfinite.skipped_batches.batch_of(step); }
  double lr_of(int64_t step) const;
  bool log_due(int64_t step) const { return falls_on(config_.log_every, step) || step == config_.steps; }
  bool due(int64_t every) const { return falls_on(every, state_.step); }
  static bool falls_on(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

  /// A line of the log that is not written yet, because its numbers are on their way from the device.
  struct PendingLine {
    int64_t step;
    double lr;
    int64_t tokens;
    LogWindow::Counts counts;
    int64_t problems;                                               // of transport, over all processes
    std::vector<std::pair<std::string, std::string>> solver_names;  // layer, number
    LateNumbers numbers;
  };

  Session& session_;
  const World& world_;
  const TrainConfig& config_;
  OwnStream stream_;  // before whatever works on the device
  BatchMaker train_, val_;
  const RunFolder& run_;
  data::Sampler sampler_;
  TrainingStep step_;
  StepGraphs graphs_;
  PlateauWatch plateau_;
  RunLog log_;
  TrainState state_;
  SolverTally transport_;  // since the latest line of the log
  bool warned_of_transport_ = false, warned_of_scale_ = false;
  int64_t told_skips_ = 0;
  std::optional<PendingLine> line_;
  bool updating_ = false;  // the step under way changes the weights, so it cannot be done again
  int64_t saved_step_ = -1;
  bool changed_ = false;  // since that step was saved: it has been evaluated
  // Buffers as they were before the step under way: some modules change theirs in a forward pass.
  NamedTensors buffers_;
  StopGuard* guard_ = nullptr;            // while run() runs
  std::unique_ptr<BatchStream> batches_;  // last: its thread uses train_
};

/// Copies what has the same name, shape and type, and logs what was taken and what was not. Error(checkpoint)
/// naming `where` when nothing agrees.
void take_parameters(ClassifierImpl& model, const std::map<std::string, at::Tensor>& tensors,
                     const std::string& where);
/// Copies checkpoint tensors into the model. Error(checkpoint) names a missing, surplus or differently shaped
/// tensor.
void load_parameters(ClassifierImpl& model, const std::map<std::string, at::Tensor>& tensors,
                     const std::string& where);

}  // namespace lotformer
