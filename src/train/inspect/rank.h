// SPDX-License-Identifier: MIT
// Modules that change their own shape during training: when the trainer asks them, and what follows the
// change.
#pragma once

#include <span>

#include "lotformer/core/json.h"
#include "train/optimizer.h"
#include "train/run/tensor_file.h"
#include "train/session.h"

namespace lotformer {

/// The latest training batches.
inline constexpr int64_t kSurveyedBatches = 4;

/// Whether any layer wants a survey after this step.
bool survey_due(ClassifierImpl& model, int64_t step);

/// Forward and backward over `batches` in evaluation mode, then every layer that is due decides; the
/// optimiser's state follows. Gradients are zero afterwards, the mode is as it was. What a layer changes is a
/// function of weights, batches and seed. Returns {"layer0": {"pivots":
/// ..., "singular_values": [...]}, ...} for the log.
Json adapt_ranks(Session& session, std::span<const Batch> batches, int64_t step, uint64_t seed,
                 AdamW& optimizer);

/// Gives layers that may change their shape the one of stored tensors (names as in named_state).
void match_shapes(ClassifierImpl& model, const TensorMap& tensors);

}  // namespace lotformer
