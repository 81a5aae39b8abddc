// SPDX-License-Identifier: MIT
#include "trainer.h"

#include <ATen/core/grad_mode.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>

#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/rng.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/device_memory.h"
#include "schedule.h"
#include "train/inspect/diagnostics.h"
#include "train/inspect/pivot_pictures.h"
#include "train/inspect/rank.h"
#include "train/run/results.h"

namespace lotformer {
namespace {

uint64_t seed_of(const TrainConfig& config) {
  return static_cast<uint64_t>(config.seed);
}

std::string describe_rows(const std::vector<int64_t>& rows) {
  std::vector<std::string> parts;
  for (const int64_t row : rows) parts.push_back(std::to_string(row));
  return join(parts, ", ");
}

bool interrupted() {
  return StopSignals::received() != 0;
}

}  // namespace

Trainer::Trainer(Session& session, data::Dataset train, data::Dataset val, const RunFolder& run)
    : session_(session),
      config_(session.config.train),
      stream_(session.device),
      train_(std::move(train), session.config.data, session.device, batch_shapes(session)),
      val_(std::move(val), session.config.data, session.device, batch_shapes(session)),
      run_(run),
      sampler_(train_.dataset().size(), config_.batch_size, seed_of(config_)),
      step_(session),
      graphs_(
          step_, graph_policy(config_.graph, session.device), [this] { seed_step(); },
          [this](const std::vector<Batch>& chunks) { usual_step(chunks); }),
      plateau_(config_.plateau_steps,
               constant_predictor(train_.dataset(), train_.dataset(), session.task->num_classes())),
      log_(run.root(), session.device, config_.steps, run_labels(session)) {
  if (const int64_t bytes = train_.resident_bytes() + val_.resident_bytes(); bytes > 0)
    log::info(concat("data.on_device: training and validation live on the device, ", format_bytes(bytes)));
  if (!session.config.data.bucket) return;
  sampler_.bucket_by_length([split = train_.dataset()](int64_t row) {
    return std::max(split.length(row), split.length(row, split.sequences() - 1));
  });
}

/// Dropout's random numbers are a function of the step: nothing to save, nothing to restore.
void Trainer::seed_step() const {
  torch::manual_seed(mix_seeds(seed_of(config_), static_cast<uint64_t>(state_.step) + 1));
}

/// Nothing that is saved changes in here, but for the buffers.
BatchGradients Trainer::gradients(const std::vector<Batch>& chunks, SolverTally& transport) {
  for (const auto& item : session_.model->named_buffers())
    buffers_.emplace_back(item.key(), item.value().clone());
  const StopGuard::Open open(*guard_);
  if (!log_due(state_.step + 1)) return step_.gradients(chunks, &transport);
  const ScoreObserver observer(*session_.model);
  BatchGradients sums = step_.gradients(chunks, &transport);
  solver_ = solver_records(*session_.model, observer);
  return sums;
}

void Trainer::usual_step(const std::vector<Batch>& chunks) {
  seed_step();
  SolverTally transport;
  const BatchGradients sums = gradients(chunks, transport);
  buffers_.clear();
  // With recordings, what is counted must not depend on which steps were played back: only the logged one is.
  if (!graphs_.may_play_back() || log_due(state_.step + 1)) transport_.add(transport);
  step_.update(sums);
}

void Trainer::step() {
  const auto [chunks, tokens] = next_step(*batches_, config_);
  log_.add_tokens(tokens);
  step_.prepare(state_.step, config_.lr * lr_multiplier(config_, state_.step));
  log_due(state_.step + 1) ? usual_step(chunks) : graphs_.run(chunks);
  step_.window().count(config_.batch_size);
  ++state_.step;
}

void Trainer::stop_if_not_finite() {
  const int64_t bad = step_.watch().bad_step();
  if (bad < 0) return;
  log_.finish_line();
  throw Error(
      ErrorKind::numerics,
      concat("step ", bad,
             ": loss or gradient is not finite; nothing of it was saved. Training rows of that batch: ",
             describe_rows(sampler_.batch(bad)),
             ". Last checkpoint: ", saved_step_ < 0 ? "none" : concat("step ", saved_step_)));
}

void Trainer::log_if_due() {
  const bool log_now = log_due(state_.step);
  if (log_now || session_.device.is_cpu())
    stop_if_not_finite();  // elsewhere reading it would wait for the device at every step
  if (!log_now) return;
  const int64_t last = state_.step - 1;
  const LogWindow::Means means = step_.window().means();
  const auto transport = transport_.count();
  log_.train_step(state_.step, sampler_.epoch_of(last), config_.lr * lr_multiplier(config_, last), means,
                  {solver_, transport});
  if (transport && transport->alarming() && !warned_of_transport_) {
    warned_of_transport_ = true;
    log_.finish_line();
    warn_if_alarming(concat("since the line before step ", state_.step), *transport);
  }
  transport_.restart();
  warn_of_plateau(means);
  step_.window().reset();
}

void Trainer::warn_of_plateau(const LogWindow::Means& means) {
  const int64_t examples = means.steps * config_.batch_size;
  const auto message = plateau_.add(state_.step, means.accuracy * static_cast<double>(examples), examples);
  if (!message) return;
  log_.finish_line();
  log::warning(*message);
}

void Trainer::diagnose_if_due() {
  if (!due(config_.diagnostics_every)) return;
  const auto start = std::chrono::steady_clock::now();
  std::vector<int64_t> rows = sampler_.batch(state_.step - 1);
  rows.resize(std::min<size_t>(rows.size(), kDiagnosedExamples));
  log_.diagnostics(state_.step, diagnose_model(session_, train_.make(rows)));
  log_.exclude(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

void Trainer::adapt_ranks_if_due() {
  // Not after the last step: nothing would train what was changed.
  if (state_.step >= config_.steps || !survey_due(*session_.model, state_.step)) return;
  stop_if_not_finite();
  const auto start = std::chrono::steady_clock::now();
  std::vector<Batch> batches;
  for (int64_t step = state_.step - 1; step >= std::max<int64_t>(0, state_.step - kSurveyedBatches); --step) {
    std::vector<int64_t> rows = sampler_.batch(step);
    rows.resize(rows.size() /
                static_cast<size_t>(training_chunks(config_)));  // no more at once than in a step
    batches.push_back(train_.make(rows));
  }
  const uint64_t seed = mix_seeds(seed_of(config_), ~static_cast<uint64_t>(state_.step));
  log_.ranks(state_.step, adapt_ranks(session_, batches, state_.step, seed, step_.optimizer()));
  graphs_.forget();  // they hold the addresses of the old parameters
  log_.exclude(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

bool Trainer::evaluate_if_due() {
  const bool wanted = due(config_.eval_every) || state_.step == config_.steps;
  if (!wanted || state_.step == 0 || state_.evaluated_step == state_.step) return true;
  stop_if_not_finite();
  const auto start = std::chrono::steady_clock::now();
  const auto result = [&] {
    const StopGuard::Open open(*guard_);
    return evaluate(session_, val_, interrupted);
  }();
  if (!result) return false;
  const Score score = make_score(state_.step, *result);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_.score("val", score, seconds);
  if (score.transport) warn_if_alarming(concat("validation at step ", state_.step), *score.transport);
  if (log_.tensorboard())
    add_pivot_pictures(log_.tensorboard()->events(), session_, val_.dataset(), state_.step);
  log_.exclude(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  state_.evaluated_step = state_.step;
  state_.last = score;
  changed_ = true;
  if (!state_.best || score.better_than(*state_.best)) state_.best = score;
  return true;
}

Score Trainer::score(const data::Dataset& dataset, const std::string& split, const std::string& checkpoint,
                     int64_t step) {
  const auto start = std::chrono::steady_clock::now();
  const auto result =
      evaluate(session_, BatchMaker(dataset, session_.config.data, session_.device, batch_shapes(session_)),
               interrupted);
  if (!result)
    throw Error(ErrorKind::interrupted,
                "stopped by a signal during the final evaluation; the same command continues");
  const Score score = make_score(step, *result);
  log_.score(split, score, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
             checkpoint);
  if (score.transport) warn_if_alarming(concat(split, ", ", checkpoint, " checkpoint"), *score.transport);
  return score;
}

void Trainer::stop() {
  if (state_.step > 0) save();
  log_.finish_line();
  throw Error(
      ErrorKind::interrupted,
      concat("stopped by signal ", StopSignals::received(), " at step ", state_.step,
             state_.step > 0 ? "; state saved, the same command continues" : "; nothing to save yet"));
}

void Trainer::run() {
  StopGuard guard([this] {
    // What the loop has given the device to do goes to a stream of its own, for which this thread would not
    // wait.
    if (session_.device.is_cuda()) cuda_synchronize(session_.device.index());
    leave_program([this] { stop(); });
  });
  guard_ = &guard;
  session_.model->train();
  batches_ = training_stream(train_, sampler_, session_.config, state_.step, config_.steps);
  if (config_.tensorboard) log_.open_tensorboard(state_.step, read_file(run_.config_file(), ErrorKind::disk));
  log_.start_clock(state_.step);
  while (true) {
    const bool evaluated = evaluate_if_due();
    if (!evaluated || interrupted()) stop();
    const bool best_is_new = state_.best && state_.best->step == state_.step;
    if (state_.step > 0 && (due(config_.checkpoint_every) || best_is_new || state_.step == config_.steps))
      save();
    if (state_.step >= config_.steps) break;
    step();
    log_if_due();
    diagnose_if_due();
    adapt_ranks_if_due();
  }
  guard_ = nullptr;
}

}  // namespace lotformer
