// SPDX-License-Identifier: MIT
// Controls without parameters, to be printed beside every result: what a task yields without attention
// (`none`) and with plain averaging in its place (`mean`).
#pragma once

#include "lotformer/attention/attention.h"

namespace lotformer {

struct ControlOptions final : Options {
  void visit(FieldVisitor& visitor) override;
};

/// Every real token gets the mean of V over the real tokens of its sequence.
class MeanAttentionImpl final : public AttentionImpl {
 public:
  MeanAttentionImpl(const ControlOptions& options, const AttentionShape& shape);

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
};

/// Zeros: tokens do not see each other before the pooling.
class NoAttentionImpl final : public AttentionImpl {
 public:
  NoAttentionImpl(const ControlOptions& options, const AttentionShape& shape);

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
};

}  // namespace lotformer
