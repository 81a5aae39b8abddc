// SPDX-License-Identifier: MIT
// What one optimiser step does on the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "lotformer/model/batch.h"
#include "train/inspect/diagnostics.h"
#include "train/inspect/solver_tally.h"
#include "train/numerics.h"
#include "train/optimizer.h"
#include "train/session.h"

namespace lotformer {

/// Of one training batch, before its update.
struct BatchGradients {
  /// Over the examples, device scalar.
  at::Tensor loss_sum;
  /// Number of right answers, device scalar.
  at::Tensor correct;
};
/// What a step says beside its outcome, still on the device. Of one that is played back from a recording it
/// holds until the next one.
struct StepSight {
  SolverTally transport;
  /// Of a step that is looked at.
  std::vector<LayerNumbers> solver;
};
/// Adds the gradients of (mean loss over a training batch) * loss_scale (undefined: 1), chunk by chunk;
/// chunks weigh by their examples. `transport` counts what the solvers did.
BatchGradients accumulate_gradients(Session& session, const std::vector<Batch>& chunks,
                                    const at::Tensor& loss_scale, SolverTally* transport = nullptr);

/// Gradients, norm, clip, update, loss scale, sums for the log: a function of the chunks' tensors and of what
/// lives on the device under fixed addresses. It reads nothing back and knows no number of the host but
/// shapes, so that a recording of it is as good as a call.
class TrainingStep {
 public:
  explicit TrainingStep(Session& session);

  /// Number (counted from 0) and learning rate of the step that comes next.
  void prepare(int64_t number, double lr);
  /// 1 forward  2 loss  3 backward
  BatchGradients gradients(const std::vector<Batch>& chunks, StepSight& sight, bool look);
  /// 4 sums over the processes, if there are several (collective)  5 norm and clip  6 optimiser  7 sums for
  /// the log
  void update(BatchGradients sums);
  /// `look`: the sight is to say what the solvers of the layers did in the last chunk.
  StepSight run(const std::vector<Batch>& chunks, bool look = false);

  AdamW& optimizer() { return optimizer_; }
  LossScaler& scaler() { return scaler_; }
  LogWindow& window() { return window_; }
  FiniteWatch& watch() { return watch_; }
  c10::Device device() const { return session_.device; }
  /// All that run() reads and writes beside the chunks.
  std::vector<at::Tensor> tensors() const;

 private:
  void add_up(BatchGradients& sums);
  Session& session_;
  AdamW optimizer_;
  LossScaler scaler_;
  LogWindow window_;
  FiniteWatch watch_;
};

}  // namespace lotformer
