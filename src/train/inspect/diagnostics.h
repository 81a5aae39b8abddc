// SPDX-License-Identifier: MIT
// Diagnostics of every attention layer of a model on one batch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lotformer/attention/diagnostics.h"
#include "lotformer/core/json.h"
#include "lotformer/model/batch.h"
#include "train/session.h"

namespace lotformer {

/// Of the training batch: enough for a mean, cheap beside a step.
inline constexpr size_t kDiagnosedExamples = 8;

/// What the attention of a layer was given.
struct LayerScores {
  /// [B, H, N, D].
  at::Tensor q, k;
  /// [B] or undefined.
  at::Tensor lengths;
};
/// Notes what every attention layer is given, from now on until it is gone. One at a time.
class ScoreObserver {
 public:
  explicit ScoreObserver(ClassifierImpl& model);
  ~ScoreObserver();
  ScoreObserver(const ScoreObserver&) = delete;
  ScoreObserver& operator=(const ScoreObserver&) = delete;
  const std::vector<LayerScores>& layers() const { return seen_; }

 private:
  ClassifierImpl& model_;
  std::vector<LayerScores> seen_;
};

struct Observation {
  std::vector<LayerScores> layers;
  /// [B, classes].
  at::Tensor logits;
};
/// A forward pass in evaluation mode without gradients.
Observation observe_scores(Session& session, const Batch& batch);

/// {"layer0": {"entropy": ...}, ...} of the weights as they are, in the mode the module trains in but without
/// dropout. Leaves the model, its gradients and torch's generators as they were.
Json diagnose_model(Session& session, const Batch& batch);

/// HasSolver::solver_record of a layer, by its name in the records ("layer0").
using LayerNumbers = std::pair<std::string, DeviceDiagnostics>;
/// Of the forward pass that `observer` has seen; empty where no module has any. Does not wait for the device.
std::vector<LayerNumbers> solver_records(ClassifierImpl& model, const ScoreObserver& observer);
/// {"passes_mean": ...}; a name that ends in [] stands for one entry of a list.
Json to_json(const Diagnostics& numbers);

}  // namespace lotformer
