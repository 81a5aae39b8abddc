// SPDX-License-Identifier: MIT
// Scores a split: every example once, or max_examples of them at equal distances.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "train/feed/batch_stream.h"
#include "train/inspect/solver_tally.h"
#include "train/session.h"

namespace lotformer {

struct Prediction {
  /// Of the split.
  int64_t row = 0;
  /// The true class.
  int32_t label = 0;
  int32_t predicted = 0;
};

struct EvalResult {
  /// Mean cross-entropy (natural logarithm).
  double loss = 0;
  /// In [0, 1].
  double accuracy = 0;
  /// Scored.
  int64_t examples = 0;
  /// In the split.
  int64_t available = 0;
  /// One for every example scored, rows ascending.
  std::vector<Prediction> predictions;
  /// In the order of `predictions`: float32 [examples, classes] on the CPU.
  at::Tensor logits;
  /// Of all passes; nothing for modules that solve no problems.
  std::optional<TransportCount> transport = std::nullopt;
};

/// Runs the session's model in evaluation mode (and puts it back into the mode it was in). Batches are formed
/// from rows sorted by length, so that little is spent on padding; with eval.drop_last in file order, as the
/// published harness drops the file's last rows. Empty when `interrupted` returned true between two batches.
/// Where several processes train, each scores a part of the batches and all get the whole result
/// (collective). Error(numerics) for a non-finite loss.
std::optional<EvalResult> evaluate(Session& session, const BatchMaker& split,
                                   const std::function<bool()>& interrupted);

}  // namespace lotformer
