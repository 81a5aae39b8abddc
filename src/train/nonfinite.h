// SPDX-License-Identifier: MIT
// What a run has done about non-finite numbers (train.on_nonfinite); part of its state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lotformer/core/json.h"
#include "train/feed/skipped_batches.h"

namespace lotformer {

/// One return to a checkpoint.
struct Rollback {
  /// The step (0-based) that blew up, and the step of the checkpoint.
  int64_t from = 0, to = 0;
  /// Batches of the sampler that are not trained on from there on: first ... end - 1.
  int64_t first_batch = 0, end_batch = 0;
  /// Of the learning rate from there on, all rollbacks together.
  double lr_factor = 1;
};
Json to_json(const Rollback& rollback);

/// The learning rate and the batches of every further step follow from it, whatever the keys say that led
/// there: a resume does what the run did.
struct NonfiniteHistory {
  std::vector<Rollback> rollbacks = {};
  SkippedBatches skipped_batches = {};
  double lr_factor = 1;
  /// Updates that were left out (`skip`): all of them, those at the end of the steps so far, the step of the
  /// last (-1: none).
  int64_t skipped_updates = 0, in_a_row = 0, last_skipped = -1;
  bool empty() const { return rollbacks.empty() && skipped_updates == 0; }
};
Json to_json(const NonfiniteHistory& history);
NonfiniteHistory nonfinite_history_from_json(const Json& json, const std::string& where);

/// One sentence for people: "2 updates were left out, ...". Not for an empty history.
std::string describe(const NonfiniteHistory& history);

}  // namespace lotformer
