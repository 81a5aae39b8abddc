// SPDX-License-Identifier: MIT
// What metrics.jsonl gets, for TensorBoard as well (train.tensorboard):
// RUN/tensorboard/events.out.tfevents.*, a file each time that the run is started.
#pragma once

#include <filesystem>
#include <string>

#include "event_file.h"
#include "lotformer/core/json.h"

namespace lotformer {

class TensorboardLog {
 public:
  /// From `step` on. `configuration` (YAML) stands under "text". A reader forgets what earlier files say of
  /// `step` and all later ones; what metrics.jsonl says of `step` itself is written again.
  TensorboardLog(const std::filesystem::path& run, int64_t step, const std::string& configuration);
  /// A line of metrics.jsonl: every number in it but counters, under SPLIT/PATH: "train/loss",
  /// "train/solver/layer0/passes_mean".
  void line(const Json& metrics);
  EventFile& events() { return events_; }

 private:
  void add(int64_t step, const std::string& tag, const Json& value);
  EventFile events_;
};

}  // namespace lotformer
