// SPDX-License-Identifier: MIT
#include "trainer.h"

#include <ATen/Context.h>
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
#include "lotformer/ops/profile_range.h"
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

bool interrupted() {
  return StopSignals::received() != 0;
}

}  // namespace

Trainer::Trainer(Session& session, data::Dataset train, data::Dataset val, const RunFolder& run)
    : session_(session),
      world_(*session.world),
      config_(session.config.train),
      stream_(session.device),
      train_(std::move(train), session.config.data, session.device, batch_shapes(session)),
      val_(std::move(val), session.config.data, session.device, batch_shapes(session)),
      run_(run),
      sampler_(train_.dataset().size(), config_.batch_size, seed_of(config_)),
      step_(session),
      graphs_(
          step_, world_.alone() ? graph_policy(config_.graph, session.device) : GraphPolicy::off,
          [this] { seed_step(); },
          [this](const std::vector<Batch>& chunks, bool look) { return usual_step(chunks, look); }),
      plateau_(config_.plateau_steps,
               constant_predictor(train_.dataset(), train_.dataset(), session.task->num_classes())),
      log_(run.root(), session.device, config_.steps, run_labels(session), world_.leads()) {
  if (const int64_t bytes = train_.resident_bytes() + val_.resident_bytes(); bytes > 0)
    log::info(concat("data.on_device: training and validation live on the device, ", format_bytes(bytes)));
  if (!session.config.data.bucket) return;
  sampler_.bucket_by_length([split = train_.dataset()](int64_t row) {
    return std::max(split.length(row), split.length(row, split.sequences() - 1));
  });
}

/// Dropout's random numbers are a function of the step's batch: nothing to save, nothing to restore. What is
/// drawn on the host is the same in all processes, as random features have to be; what is dropped is not
/// (set_dropout_stream for the host's own dropout).
void Trainer::seed_step() const {
  const uint64_t seed = mix_seeds(seed_of(config_), static_cast<uint64_t>(batch_of(state_.step)) + 1);
  torch::manual_seed(seed);
  if (!session_.device.is_cuda() || world_.leads()) return;
  at::Generator generator = at::globalContext().defaultGenerator(session_.device);
  generator.set_current_seed(mix_seeds(seed, static_cast<uint64_t>(world_.rank())));
}

double Trainer::lr_of(int64_t step) const {
  return config_.lr * lr_multiplier(config_, step) * state_.nonfinite.lr_factor;
}

/// Nothing that is saved changes in here, but for the buffers.
BatchGradients Trainer::gradients(const std::vector<Batch>& chunks, StepSight& sight, bool look) {
  for (const auto& item : session_.model->named_buffers())
    buffers_.emplace_back(item.key(), item.value().clone());
  const StopGuard::Open open(*guard_);
  return step_.gradients(chunks, sight, look);
}

StepSight Trainer::usual_step(const std::vector<Batch>& chunks, bool look) {
  seed_step();
  StepSight sight;
  const BatchGradients sums = gradients(chunks, sight, look);
  buffers_.clear();
  updating_ = true;
  const ops::ProfileRange range("update");
  step_.update(sums);
  updating_ = false;
  return sight;
}

void Trainer::profile(ProfileRequest request) {
  profiler_ = std::make_unique<Profiler>(request, run_.root() / "profile", session_.device.is_cuda());
}

std::optional<StepSight> Trainer::step() {
  const auto [batches, tokens] = [&] {
    const ops::ProfileRange range("batch");
    return next_step(*batches_, chunks());
  }();
  step_.prepare(state_.step, lr_of(state_.step));
  const bool look = log_due(state_.step + 1);
  StepSight sight;
  try {
    // A recording has neither ranges nor operators, so that a trace of it would say nothing.
    sight = profiler_ ? usual_step(batches, look) : graphs_.run(batches, look);
  } catch (const std::exception& error) {
    if (!split_further(error)) throw;
    return std::nullopt;
  }
  write_line();  // that of the step before, while the device works at this one
  transport_.add(sight.transport);
  log_.add_tokens(tokens);
  step_.window().count(config_.batch_size);
  ++state_.step;
  return sight;
}

/// A step that has not come to its update has changed nothing but gradients, which the next one clears, and
/// buffers.
bool Trainer::split_further(const std::exception& error) {
  if (config_.microbatch != "auto" || updating_ || !is_out_of_memory(error)) return false;
  if (chunks() >= config_.batch_size) return false;
  graphs_.forget();  // recordings hold memory of their own
  {
    const at::NoGradGuard no_grad;
    auto buffers = session_.model->named_buffers();
    for (const auto& [name, before] : buffers_) buffers[name].copy_(before);
  }
  buffers_.clear();
  state_.chunks = std::min(2 * chunks(), config_.batch_size);
  write_line();
  log_.finish_line();
  log::warning(concat("step ", state_.step, ": out of memory; steps are done in ", state_.chunks,
                      " chunks from here on (train.microbatch=auto)"));
  log_.chunks(state_.step, state_.chunks);
  batches_.reset();
  begin_stream();
  return true;
}

void Trainer::diagnose_if_due() {
  if (!due(config_.diagnostics_every)) return;
  write_line();
  const auto start = std::chrono::steady_clock::now();
  std::vector<int64_t> rows = sampler_.batch(batch_of(state_.step - 1));
  rows.resize(std::min<size_t>(rows.size(), kDiagnosedExamples));
  // In every process, since a pass may change buffers.
  log_.diagnostics(state_.step, diagnose_model(session_, train_.make(rows)));
  log_.exclude(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

void Trainer::adapt_ranks_if_due() {
  // Not after the last step: nothing would train what was changed.
  if (state_.step >= config_.steps || !survey_due(*session_.model, state_.step)) return;
  write_line();
  stop_if_not_finite();
  const auto start = std::chrono::steady_clock::now();
  std::vector<Batch> batches;
  for (int64_t step = state_.step - 1; step >= std::max<int64_t>(0, state_.step - kSurveyedBatches); --step) {
    std::vector<int64_t> rows = sampler_.batch(batch_of(step));
    // No more at once than in a step of one process, so that all find what one would.
    rows.resize(rows.size() /
                static_cast<size_t>(state_.chunks > 0 ? state_.chunks : training_chunks(config_)));
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
  write_line();
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

/// Of those that were told to stop: the first.
int Trainer::signal() const {
  for (const std::string& received : world_.gather(std::to_string(StopSignals::received()))) {
    if (received != "0") return std::stoi(received);
  }
  return 0;
}

void Trainer::stop() {
  const int number = signal();
  std::string saved = "; nothing to save yet";
  if (state_.step > 0) {
    try {
      save();
      saved = "; state saved, the same command continues";
    } catch (const Error& error) {
      // There is no time to roll back: the run that goes on from the checkpoint will come to it again.
      if (error.kind() != ErrorKind::numerics || !may_roll_back()) throw;
      saved = concat("; that is not finite, so the same command continues from step ", saved_step_);
    }
  }
  log_.finish_line();
  throw Error(ErrorKind::interrupted, concat("stopped by signal ", number, " at step ", state_.step, saved));
}

void Trainer::begin_stream() {
  batches_ = training_stream(train_, sampler_, session_.config, state_.step, config_.steps,
                             {chunks(), state_.nonfinite.skipped_batches, world_.rank(), world_.size()});
}

void Trainer::open_tensorboard() {
  if (!config_.tensorboard || !world_.leads()) return;
  log_.open_tensorboard(state_.step, read_file(run_.config_file(), ErrorKind::disk));
  if (state_.step > 0 && state_.evaluated_step == state_.step)
    add_pivot_pictures(log_.tensorboard()->events(), session_, val_.dataset(), state_.step);
}

bool Trainer::turn() {
  // First, and on the host: a process that waits for another here has not begun to wait for a device yet.
  const bool told = any(world_, interrupted());
  if (told || !evaluate_if_due() || (world_.alone() && interrupted())) stop();
  const bool best_is_new = state_.best && state_.best->step == state_.step;
  if (state_.step > 0 && (due(config_.checkpoint_every) || best_is_new || state_.step == config_.steps))
    save();
  if (state_.step >= config_.steps) return false;
  if (profiler_) profiler_->begin_step(state_.step + 1);
  const std::optional<StepSight> sight = step();
  if (!sight) return true;
  if (profiler_) {
    if (const auto table = profiler_->end_step(state_.step)) log_.message(*table);
  }
  log_if_due(*sight);
  diagnose_if_due();
  adapt_ranks_if_due();
  return true;
}

/// Before an error ends the run: what was logged is not lost with it, where the device still answers.
void Trainer::keep_line() noexcept {
  try {
    write_line();
  } catch (...) {
  }
}

void Trainer::run() {
  StopGuard guard([this] {
    // Of several processes no thread can save alone; all stop behind the step.
    if (!world_.alone()) return;
    // What the loop has given the device to do goes to a stream of its own, for which this thread would not
    // wait.
    if (session_.device.is_cuda()) cuda_synchronize(session_.device.index());
    leave_program([this] { stop(); });
  });
  guard_ = &guard;
  session_.model->train();
  if (config_.on_nonfinite == "rollback" && saved_step_ < 0) save();  // where the first one would lead
  begin_stream();
  open_tensorboard();
  log_.start_clock(state_.step);
  for (bool more = true; more;) {
    try {
      more = turn();
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::numerics && roll_back(error)) continue;
      keep_line();
      throw;
    } catch (...) {
      keep_line();
      throw;
    }
  }
  guard_ = nullptr;
}

}  // namespace lotformer
