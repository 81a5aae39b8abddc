// SPDX-License-Identifier: MIT
// The three places a run reports to: metrics.jsonl (nothing in it depends on the clock: a resumed run writes
// the same bytes), timings.jsonl (all that does), and the progress line.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "lotformer/core/status_line.h"
#include "run_folder.h"
#include "tensorboard_log.h"
#include "train/inspect/solver_tally.h"
#include "train/numerics.h"
#include "train/train_state.h"

namespace lotformer {

class RunLog {
 public:
  using Clock = std::chrono::steady_clock;
  /// `labels` (run_labels()) stand in every line of metrics.jsonl that holds a score. `writes`: else nothing
  /// is written anywhere, because another process does.
  RunLog(const std::filesystem::path& run, c10::Device device, int64_t total_steps, Json labels,
         bool writes = true);

  /// On resume: metrics.jsonl goes back to what it held at the checkpoint.
  void truncate_metrics(int64_t offset) {
    if (metrics_) metrics_->truncate_to(offset);
  }
  /// Makes the metrics durable; their length then belongs to a checkpoint.
  int64_t sync_metrics();

  void start_clock(int64_t step);
  /// From now on every line of metrics.jsonl goes to TensorBoard as well.
  void open_tensorboard(int64_t step, const std::string& configuration) {
    if (metrics_) tensorboard_.emplace(run_, step, configuration);
  }
  TensorboardLog* tensorboard() { return tensorboard_ ? &*tensorboard_ : nullptr; }
  /// Takes time that was not training out of the running window.
  void exclude(double seconds) {
    window_start_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  void add_tokens(int64_t tokens) { tokens_ += tokens; }
  /// Those of the steps since they were last taken.
  int64_t take_tokens() { return std::exchange(tokens_, 0); }
  struct TrainLine {
    int64_t step, epoch;
    double lr;
    int64_t tokens;
    LogWindow::Means means;
    /// solver_records(), stands in the line unless it is empty.
    Json solver;
    /// Since the line before.
    std::optional<TransportCount> transport;
  };
  void train_step(const TrainLine& line);
  /// Diagnostics of the attention maps, one object a layer.
  void diagnostics(int64_t step, const Json& layers);
  /// What surveys of adaptive ranks found and changed, one object a layer.
  void ranks(int64_t step, const Json& layers);
  /// Steps from this one on are done in so many chunks, because memory did not suffice for fewer.
  void chunks(int64_t step, int64_t chunks);
  /// A return to the checkpoint of the line's step.
  void rollback(const Rollback& rollback);
  void score(const std::string& split, const Score& score, double seconds,
             const std::string& checkpoint = "");
  void message(const std::string& text);
  void finish_line() { status_line_.finish(); }

 private:
  void record(const Json& line);
  std::string data_note() const;
  std::filesystem::path run_;
  c10::Device device_;
  int64_t total_steps_;
  Json labels_;
  std::optional<AppendLog> metrics_, timings_;  // both or none
  std::optional<TensorboardLog> tensorboard_;
  StatusLine status_line_;
  Clock::time_point window_start_{};
  int64_t window_step_ = 0, tokens_ = 0;
};

/// Sums over timings.jsonl: seconds of training and of evaluation (work lost to a kill included), steps/s and
/// tokens/s of training.
Json summarise_timings(const std::filesystem::path& run);

}  // namespace lotformer
