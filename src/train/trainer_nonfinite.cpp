// SPDX-License-Identifier: MIT
// What a trainer does about losses, gradients and weights that are not finite (train.on_nonfinite).
#include <ATen/ops/isfinite.h>

#include <algorithm>

#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "trainer.h"

namespace lotformer {
namespace {

/// What goes on from the last checkpoint.
std::string remedy_of(const TrainConfig& config, const NonfiniteHistory& history) {
  if (config.on_nonfinite == "stop")
    return "; the same command with --set train.on_nonfinite=rollback (or skip) goes on from there";
  if (config.on_nonfinite == "skip")
    return "; the same command with --set train.on_nonfinite=rollback goes on from there with a smaller rate";
  const size_t count = history.rollbacks.size();
  return concat("; after ", count, count == 1 ? " rollback" : " rollbacks", " (train.nonfinite_limit ",
                config.nonfinite_limit, ") a smaller train.lr or another train.precision is worth trying");
}

}  // namespace

std::string Trainer::rows_of(int64_t step) {
  std::vector<std::string> parts;
  for (const int64_t row : sampler_.batch(batch_of(step))) parts.push_back(std::to_string(row));
  return join(parts, ", ");
}

/// What the device has counted, for whoever writes the state down.
void Trainer::read_skips() {
  if (config_.on_nonfinite != "skip") return;
  const FiniteWatch::Count count = step_.watch().count();
  state_.nonfinite.skipped_updates = count.all;
  state_.nonfinite.in_a_row = count.in_a_row;
  state_.nonfinite.last_skipped = count.last;
}

void Trainer::stop_if_not_finite() {
  const int64_t bad = step_.watch().bad_step();
  if (bad < 0) return;
  log_.finish_line();
  std::string what = "loss or gradient is not finite; nothing of it was saved";
  if (config_.on_nonfinite == "skip")
    what = concat("loss or gradient is not finite, ", config_.nonfinite_limit,
                  " steps in a row (train.nonfinite_limit); nothing of them was saved");
  if (step_.scaler().enabled()) {
    const auto scale = step_.scaler().scale().item<double>();
    if (scale < LossScaler::kCollapsed)
      what = concat("fp16 gradients overflow although the loss scale has collapsed to ", scale,
                    "; nothing of it was saved (train.precision=bf16 or fp32 has the range)");
  }
  fail(concat("step ", bad, ": ", what, ". Training rows of that batch: ", rows_of(bad)));
}

/// A finite loss with finite gradients does not make the update finite.
void Trainer::require_finite(const NamedTensors& tensors) const {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>()) continue;
    fail(concat("step ", state_.step, ": '", name, "' is not finite after the update; it was not saved"));
  }
}

void Trainer::fail(const std::string& what) const {
  throw Error(ErrorKind::numerics,
              concat(what, ". Last checkpoint: ", saved_step_ < 0 ? "none" : concat("step ", saved_step_),
                     may_roll_back() ? "" : remedy_of(config_, state_.nonfinite)));
}

/// The newest one that the trouble cannot be in.
std::optional<Checkpoint> Trainer::whole_checkpoint_until(int64_t step) const {
  for (const int64_t candidate : run_.steps()) {
    if (candidate <= step && !checkpoint_problem(run_.checkpoint_folder(candidate)))
      return run_.checkpoint(candidate);
  }
  return std::nullopt;
}

bool Trainer::roll_back(const Error& why) {
  if (!may_roll_back()) return false;
  const int64_t watched = step_.watch().bad_step();
  const int64_t bad = watched >= 0 ? watched : std::max<int64_t>(0, state_.step - 1);
  const std::optional<Checkpoint> checkpoint = whole_checkpoint_until(bad);
  if (!checkpoint) return false;
  const int64_t window = config_.rollback_window > 0 ? config_.rollback_window : bad + 1;
  Rollback done{bad, checkpoint->step};
  done.first_batch = batch_of(std::max(checkpoint->step, bad - window + 1));
  done.end_batch = batch_of(bad) + 1;
  // The history in memory: an older checkpoint may have taken the place of a damaged one that knew more.
  NonfiniteHistory history = state_.nonfinite;
  history.skipped_batches.skip(done.first_batch, done.end_batch);
  done.lr_factor = history.lr_factor *= config_.rollback_lr;
  history.rollbacks.push_back(done);

  batches_.reset();
  buffers_.clear();
  line_.reset();     // of a step that is given up
  graphs_.forget();  // the checkpoint may hold parameters of other shapes
  restore(*checkpoint);
  look_at_best();
  lead(world_, [&] { run_.set_aside_newer_than(checkpoint->step); });
  state_.nonfinite = std::move(history);
  log_.finish_line();
  log::warning(concat(why.what(), ". Rolled back to step ", done.to, " (", state_.nonfinite.rollbacks.size(),
                      " of at most ", config_.nonfinite_limit, "): batches ", done.first_batch, " to ",
                      done.end_batch - 1, " are left out, the learning rate is multiplied by ",
                      done.lr_factor));
  log_.rollback(done);
  // A kill from here on must not forget it.
  changed_ = true;
  save();
  begin_stream();
  open_tensorboard();  // a new file: what the last one says of the steps that are done again is forgotten
  log_.start_clock(state_.step);
  return true;
}

}  // namespace lotformer
