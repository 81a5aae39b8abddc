// SPDX-License-Identifier: MIT
// Causal pivot attention: row-stochastic, by prefix sums at learnable pivots (docs/causal_pivot.md). No
// transport: a plan over a prefix would have to be solved anew at every token.
#pragma once

#include "lotformer/attention/attention.h"
#include "lotformer/ops/causal_pivot.h"

namespace lotformer {

struct CausalPivotOptions final : Options {
  int64_t pivots = 32;   // r
  double epsilon = 0.1;  // temperature of both softmaxes
  void visit(FieldVisitor& visitor) override;
  bool looks_back_only() const override { return true; }
};

/// Parameters: `pivots` [H, r, D], `pivot_logits` [H, r] (sigma = softmax over r). A token sees itself and
/// those before it: ops/causal_pivot.h has the formula.
class CausalPivotAttentionImpl final : public AttentionImpl {
 public:
  CausalPivotAttentionImpl(const CausalPivotOptions& options, const AttentionShape& shape);

  /// For sequences that come a piece at a time: the tokens of `q`, `k`, `v` [B, H, N, D] follow those that
  /// led to `state`, and belong to it on return; in the arithmetic of forward(). Where gradients are not
  /// wanted call it under at::NoGradGuard: a state keeps the graph of all pieces else. Error(internal) for
  /// inputs that forward() would refuse.
  at::Tensor continue_with(ops::CausalPivotState& state, const at::Tensor& q, const at::Tensor& k,
                           const at::Tensor& v);

  at::Tensor pivots;        // [H, r, D]
  at::Tensor pivot_logits;  // [H, r]

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  ops::CausalPivotCall call_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const at::Tensor& lengths) const;
  double epsilon_;
};

}  // namespace lotformer
