// SPDX-License-Identifier: MIT
// Sinkformer attention: Sinkhorn's algorithm on softmax scores makes the N x N map doubly stochastic (Sander,
// Ablin, Blondel, Peyre, AISTATS 2022). One half-iteration is softmax attention.
#pragma once

#include "lotformer/attention/attention.h"
#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/ops/sinkhorn_attention.h"

namespace lotformer {

struct SinkformerOptions final : Options {
  std::string mode = "truncated";  // reference | reference_nlp | truncated | exact
  double epsilon = 1;              // entropic regularisation, as published
  int64_t half_iterations = 3;   // T; all modes but exact. Published code: 3 (text, cats and dogs), 5 (MNIST)
  double tolerance = 1e-4;       // exact: mean |column sum - 1| at which a problem stops, in training
  double eval_tolerance = 1e-6;  // exact: the same in evaluation
  int64_t max_half_iterations = 200;  // exact: where a problem stops at the latest
  std::string gradient = "auto";      // auto | unrolled | implicit
  void visit(FieldVisitor& visitor) override;
  std::vector<Conflict> conflicts() const override;
};

/// No parameters.
class SinkformerAttentionImpl final : public AttentionImpl, public HasSolver {
 public:
  SinkformerAttentionImpl(const SinkformerOptions& options, const AttentionShape& shape);
  bool padding_takes_part() const override { return options_.mode.starts_with("reference"); }

  /// And, in mode `exact`, what the solver did to `eval_tolerance`.
  Diagnostics diagnose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) override;
  DeviceDiagnostics solver_record(const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& lengths) override;
  SolverCount solver_count() const override;
  /// Of the latest forward call in mode `exact`; empty before it and in other modes.
  const ops::SinkhornStats& last_stats() const { return stats_; }

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  ops::SinkhornOptions solver_options() const;

  SinkformerOptions options_;
  ops::SinkhornStats stats_;
};

}  // namespace lotformer
