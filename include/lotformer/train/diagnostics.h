// SPDX-License-Identifier: MIT
// Diagnostics of every attention layer of a model on one batch.
#pragma once

#include <vector>

#include "lotformer/core/json.h"
#include "lotformer/model/batch.h"
#include "lotformer/train/session.h"

namespace lotformer {

inline constexpr size_t kDiagnosedExamples =
    8;  ///< of the training batch: enough for a mean, cheap beside a step

/// What the attention of a layer was given.
struct LayerScores {
  at::Tensor q, k;     ///< [B, H, N, D]
  at::Tensor lengths;  ///< [B] or undefined
};
struct Observation {
  std::vector<LayerScores> layers;
  at::Tensor logits;  ///< [B, classes]
};
/// A forward pass in evaluation mode without gradients.
Observation observe_scores(Session& session, const Batch& batch);

/// {"layer0": {"entropy": ...}, ...} of the weights as they are, in the mode the module trains in but without dropout. Leaves the model, its
/// gradients and torch's generators as they were.
Json diagnose_model(Session& session, const Batch& batch);

}  // namespace lotformer
