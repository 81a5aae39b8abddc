// SPDX-License-Identifier: MIT
// What training and evaluation share: a configuration turned into a task, a model and a device.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lotformer/config/config.h"
#include "lotformer/data/task.h"
#include "lotformer/model/classifier.h"
#include "lotformer/train/world.h"

namespace lotformer {

data::DataOptions data_options(const Config& config);

/// What records call the attention of a configuration: its kind, or the name of a variant
/// (`lotformer-query`).
std::string attention_name(const Config& config);

/// Parameters by name, in the order of the model (the order of the files).
std::vector<std::pair<std::string, at::Tensor>> named_parameters(const ClassifierImpl& model);
/// Parameters and buffers: what a checkpoint of the model holds.
std::vector<std::pair<std::string, at::Tensor>> named_state(const ClassifierImpl& model);
int64_t count_parameters(const ClassifierImpl& model);
/// Table of names, shapes and counts, for the log.
std::string parameter_table(const ClassifierImpl& model);

/// fp32, bf16 or fp16 after `auto` has been resolved for the device.
std::string resolve_precision(const std::string& precision, c10::Device device);
/// The autocast type of a resolved precision; empty for fp32.
std::optional<c10::ScalarType> autocast_type(const std::string& precision);

struct Session {
  Config config;
  /// Who trains this model.
  std::shared_ptr<const World> world = lone_world();
  c10::Device device{c10::kCPU};
  int64_t threads = 0;
  /// Resolved.
  std::string precision;
  /// Of the splits by name; kept in every checkpoint.
  Json fingerprints = Json::object();
  std::unique_ptr<data::Task> task;
  /// Initialised from train.seed, on the device.
  std::shared_ptr<ClassifierImpl> model;
};

/// Opens the task, seeds torch, builds the model. `threads` 0: config.train.threads, then all cores.
Session open_session(const Config& config, c10::Device device, int64_t threads = 0);

/// A split to learn from or to score. DataError that names it when it has no examples.
data::Dataset open_split(const Session& session, data::Split split);

}  // namespace lotformer
