// SPDX-License-Identifier: MIT
// Diagnostics of every attention layer of a model on one batch.
#pragma once

#include "lotformer/core/json.h"
#include "lotformer/model/batch.h"
#include "lotformer/train/session.h"

namespace lotformer {

inline constexpr size_t kDiagnosedExamples =
    8;  ///< of the training batch: enough for a mean, cheap beside a step

/// {"layer0": {"entropy": ...}, ...} of the weights as they are, in the mode the module trains in but without dropout. Leaves the model, its
/// gradients and torch's generators as they were.
Json diagnose_model(Session& session, const Batch& batch);

}  // namespace lotformer
