// SPDX-License-Identifier: MIT
// What a trainer writes down and how it comes back.
#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>

#include <set>

#include "lotformer/config/load.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/log.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "train/inspect/rank.h"
#include "trainer.h"

namespace lotformer {

/// Parameters and buffers at the latest boundary of steps.
NamedTensors Trainer::model_tensors() const {
  if (buffers_.empty()) return named_state(*session_.model);
  NamedTensors tensors = named_parameters(*session_.model);
  tensors.insert(tensors.end(), buffers_.begin(), buffers_.end());
  return tensors;
}

/// Where the order of samples has come to. It follows from the step, so a checkpoint that says otherwise was
/// made by another program or for other data.
Json Trainer::sampler_record() const {
  return {{"seed", config_.seed},
          {"position", batch_of(state_.step) * config_.batch_size},
          {"rows", train_.dataset().size()}};
}

void Trainer::restore_sampler(const Json& saved, const std::string& where) const {
  const auto sampler = json_get<Json>(saved, "sampler", where, ErrorKind::checkpoint);
  if (sampler == sampler_record()) return;
  throw Error(ErrorKind::checkpoint, concat(where, ": 'sampler' is ", to_line(sampler).substr(0, 120),
                                            ", at this step of this run it is ", to_line(sampler_record())));
}

/// A run that was of another precision, which a warning told of, has no scale.
void Trainer::restore_scaler(const Json& saved, const std::string& where) {
  const auto scaler = json_get<Json>(saved, "scaler", where, ErrorKind::checkpoint);
  const bool same_precision = json_or(saved, "precision", std::string()) == session_.precision;
  if (scaler.is_null() && same_precision && !step_.scaler().state().is_null())
    throw Error(ErrorKind::checkpoint, where + ": 'scaler' is null, but the run is of " + session_.precision);
  step_.scaler().load_state(scaler, where);
}

/// All processes make the same updates from the same numbers; one that does not (a processor that computes
/// otherwise, memory that fails) is found before its work is kept.
void Trainer::require_same_weights() const {
  if (world_.alone()) return;
  Hasher hasher;
  for (const auto& [name, tensor] : named_state(*session_.model)) {
    const at::Tensor bytes = tensor.detach().cpu().contiguous();
    hasher.update(bytes.const_data_ptr(), bytes.nbytes());
  }
  require_same(world_, concat("the digest of the weights at step ", state_.step), hasher.digest(),
               ErrorKind::internal);
}

void Trainer::save() {
  if (saved_step_ == state_.step && !changed_) return;
  write_line();
  stop_if_not_finite();
  read_skips();
  require_same_weights();
  Json json = to_json(state_);
  json["format"] = 1;
  json["epoch"] = sampler_.epoch_of(batch_of(state_.step));
  json["sampler"] = sampler_record();
  json["rng"] = {{"scheme", "torch seeded from (train.seed, number of its batch) before every step"},
                 {"seed", config_.seed}};
  json["scaler"] = step_.scaler().state();
  json["window"] = step_.window().state();
  json["plateau"] = plateau_.state();
  if (const auto transport = transport_.over(world_, session_.device).count())
    json["transport"] = to_json(*transport);
  json["threads"] = session_.threads;
  json["processes"] = world_.size();
  json["device"] = device_name(session_.device);
  json["precision"] = session_.precision;
  json["build_id"] = build_id();
  json["data_origin"] = session_.task->data_origin();
  json["data_fingerprints"] = session_.fingerprints;
  json["config"] = config_to_json(session_.config);
  const NamedTensors weights = model_tensors(), moments = step_.optimizer().state();
  require_finite(weights);
  require_finite(moments);
  lead(world_, [&] {
    json["metrics_offset"] = log_.sync_metrics();
    write_checkpoint(run_.checkpoint_folder(state_.step), weights, moments, json);
  });
  saved_step_ = state_.step;
  changed_ = false;
  lead(world_,
       [&] { run_.prune(config_.keep, state_.best ? std::optional(state_.best->step) : std::nullopt); });
}

void Trainer::restore(const Checkpoint& checkpoint) {
  const std::string where = (checkpoint.path / "state.json").string();
  load_parameters(*session_.model, checkpoint.model, (checkpoint.path / "model.safetensors").string());
  step_.optimizer().load_state(checkpoint.optimizer);
  state_ = train_state_from_json(checkpoint.state, where);
  restore_sampler(checkpoint.state, where);
  restore_scaler(checkpoint.state, where);
  step_.window().load_state(json_get<Json>(checkpoint.state, "window", where, ErrorKind::checkpoint), where);
  plateau_.load_state(checkpoint.state, where);
  const NonfiniteHistory& history = state_.nonfinite;
  step_.watch().restart({history.in_a_row, history.skipped_updates, history.last_skipped});
  told_skips_ = history.skipped_updates;
  // In a rollback the counts are those of the steps that are given up. They are those of all processes.
  if (world_.leads() && checkpoint.state.contains("transport")) {
    transport_.restart(transport_count_from_json(checkpoint.state.at("transport"), where + ": transport"));
  } else {
    transport_.restart();
  }
  log_.truncate_metrics(json_get<int64_t>(checkpoint.state, "metrics_offset", where, ErrorKind::checkpoint));
  saved_step_ = state_.step;
}

void Trainer::look_at_best() {
  if (!state_.best || state_.best->step == state_.step) return;
  const std::string problem =
      first_says(world_, checkpoint_problem(run_.checkpoint_folder(state_.best->step)).value_or(""));
  if (!problem.empty()) lose_best(problem);
}

void Trainer::lose_best(const std::string& why) {
  log_.finish_line();
  const bool scored = state_.last && state_.last->step == state_.step;
  log::warning(concat("the best checkpoint (step ", state_.best->step, ") is lost: ", why, "; ",
                      scored ? concat("that of step ", state_.step, " takes its place")
                             : "the next evaluation chooses anew"));
  state_.lost_best = state_.best;
  state_.best = scored ? state_.last : std::nullopt;
  changed_ = true;
}

void load_parameters(ClassifierImpl& model, const std::map<std::string, at::Tensor>& tensors,
                     const std::string& where) {
  const at::NoGradGuard no_grad;
  match_shapes(model, tensors);
  const auto state = named_state(model);
  for (auto [name, tensor] : state) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) throw Error(ErrorKind::checkpoint, where + ": tensor '" + name + "' is missing");
    if (it->second.sizes() != tensor.sizes()) {
      throw Error(ErrorKind::checkpoint, concat(where, ": tensor '", name, "' has shape ", it->second.sizes(),
                                                ", the model wants ", tensor.sizes()));
    }
    if (it->second.scalar_type() != tensor.scalar_type()) {
      throw Error(ErrorKind::checkpoint,
                  concat(where, ": tensor '", name, "' is of type ", c10::toString(it->second.scalar_type()),
                         ", the model wants ", c10::toString(tensor.scalar_type())));
    }
    tensor.copy_(it->second);
  }
  if (tensors.size() != state.size()) {
    throw Error(ErrorKind::checkpoint,
                concat(where, ": holds ", tensors.size(), " tensors, the model has ", state.size()));
  }
}

void take_parameters(ClassifierImpl& model, const std::map<std::string, at::Tensor>& tensors,
                     const std::string& where) {
  const at::NoGradGuard no_grad;
  std::vector<std::string> taken, fresh;
  std::set<std::string> unused;
  for (const auto& [name, tensor] : tensors) unused.insert(name);
  for (auto [name, tensor] : named_state(model)) {
    const auto it = tensors.find(name);
    const bool present = it != tensors.end();
    if (present && it->second.sizes() == tensor.sizes() && it->second.scalar_type() == tensor.scalar_type()) {
      tensor.copy_(it->second);
      taken.push_back(name);
      unused.erase(name);
    } else {
      fresh.push_back(present ? concat(name, " (", it->second.sizes(), " there, ", tensor.sizes(), " here)")
                              : name);
    }
  }
  if (taken.empty())
    throw Error(ErrorKind::checkpoint, where + ": no tensor has a name and a shape of this model");
  log::info(concat("weights of ", where, ": ", taken.size(), " tensors taken"));
  if (!fresh.empty()) log::warning(concat("begin anew, since they are not there: ", join(fresh, ", ")));
  if (!unused.empty())
    log::warning(concat("not taken: ", join(std::vector<std::string>(unused.begin(), unused.end()), ", ")));
}

}  // namespace lotformer
