// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lotformer/core/json.h"
#include "train/nonfinite.h"
#include "train/score/evaluate.h"

namespace lotformer {

/// What an evaluation at a step found.
struct Score {
  int64_t step = 0;
  /// In [0, 1].
  double accuracy = 0;
  double loss = 0;
  /// Scored.
  int64_t examples = 0;
  /// In the split.
  int64_t available = 0;
  /// How the transport problems ended, where there were any.
  std::optional<TransportCount> transport = std::nullopt;
  bool better_than(const Score& other) const;
};
Score make_score(int64_t step, const EvalResult& result);
Json to_json(const Score& score);
Score score_from_json(const Json& json, const std::string& where);

/// All that a resume needs beside tensors, and nothing else. Order of samples, schedule and random numbers
/// are pure functions of the step and of what `nonfinite` says.
struct TrainState {
  /// Updates done.
  int64_t step = 0;
  /// Last step that was validated.
  int64_t evaluated_step = -1;
  std::optional<Score> best, last;
  /// The best one before its checkpoint was damaged or deleted.
  std::optional<Score> lost_best = std::nullopt;
  /// Written only when there is something to tell.
  NonfiniteHistory nonfinite = {};
  /// Of a batch since memory did not suffice (train.microbatch); 0: as configured, and not written.
  int64_t chunks = 0;
};
Json to_json(const TrainState& state);
TrainState train_state_from_json(const Json& json, const std::string& where);

}  // namespace lotformer
