// SPDX-License-Identifier: MIT
// LOTFormer attention: two entropic transport problems (queries -> pivots, pivots -> keys) glued into a
// doubly-stochastic map of rank r.
#pragma once

#include "lotformer/attention/attention.h"
#include "lotformer/ops/pivot_attention.h"

namespace lotformer {

struct LotformerOptions final : Options {
  std::string mode = "exact";       // reference | truncated | exact
  int64_t pivots = 32;              // r
  double epsilon = 0.1;             // entropic regularisation
  int64_t half_iterations = 50;     // T; reference and truncated
  double tolerance = 1e-4;          // exact: |c - sigma|_1 at which a problem stops, in training
  double eval_tolerance = 1e-6;     // exact: the same in evaluation
  int64_t max_passes = 32;          // exact: passes over the tokens before rounding takes over
  std::string masses = "uniform";   // uniform | learned
  std::string pivot_init = "0.02";  // 0.02 (normal, as published) | unit_score
  std::string core = "auto";        // auto | aten
  void visit(FieldVisitor& visitor) override;
  std::vector<Conflict> conflicts() const override;
};

/// Parameters: `pivots` [H, r, D]; `pivot_logits` [H, r] when masses are learned (sigma = softmax over r).
class LotformerAttentionImpl final : public AttentionImpl {
 public:
  LotformerAttentionImpl(const LotformerOptions& options, const AttentionShape& shape);
  at::Tensor forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& lengths) override;

  /// And: exact effective rank from the two Gram matrices, sharpness of the scores, and in mode `exact` what the solver did.
  Diagnostics diagnose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) override;
  /// The two transport plans of the mode, [B, H, r, N] each, in the dtype of q (float32 or float64).
  ops::PivotPlans plans(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) const;
  /// Of the latest forward call in mode `exact`; empty before it and in other modes.
  const ops::PivotSolveStats& last_stats() const { return stats_; }

  at::Tensor pivots;        // [H, r, D]
  at::Tensor pivot_logits;  // [H, r] or undefined

 private:
  at::Tensor transport(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& lengths);
  at::Tensor mass_logits(const at::Tensor& like) const;
  ops::PivotSolverOptions solver_options() const;

  LotformerOptions options_;
  ops::PivotSolveStats stats_;
};

}  // namespace lotformer
