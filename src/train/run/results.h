// SPDX-License-Identifier: MIT
#pragma once

#include "lotformer/core/json.h"
#include "train/plateau.h"
#include "train/session.h"
#include "train/train_state.h"

namespace lotformer {

/// What no score may stand without: data_origin, val_is_test, protocol.
Json run_labels(const Session& session);

/// Who and what a number belongs to: task, protocol, data origin, attention, config hash, build, device,
/// threads.
Json describe_run(const Session& session);

/// Trivial predictors beside a result: [{name, accuracy, source}].
Json references_json(data::Task& task);
/// The same as one line for people: "reference: always 0 17.8 %, root operator alone 36.7 % (official
/// distribution)".
std::string references_line(data::Task& task);

/// The content of results.json. `val`, `test`: with the best checkpoint; `last`: the same with the last. Both
/// scores of a test split come from one evaluation each, after training.
struct FinalScores {
  Score best_val, last_val, best_test, last_test;
  /// On the validation split.
  ConstantPredictor constant;
  /// The best one by validation whose checkpoint was lost on the way; `best_val` is what took its place.
  std::optional<Score> lost_best = std::nullopt;
  NonfiniteHistory nonfinite = {};
  /// As TrainState::chunks.
  int64_t chunks = 0;
};
/// False where the 95 % interval of the accuracy does not lie above that of the constant predictor.
bool has_learned(const Score& validation, const ConstantPredictor& constant);
Json make_results(const Session& session, const FinalScores& scores, const Json& timings);

/// 95 % Wilson interval {low, high} of an accuracy over that many examples.
std::pair<double, double> wilson_interval(double accuracy, int64_t examples);

}  // namespace lotformer
