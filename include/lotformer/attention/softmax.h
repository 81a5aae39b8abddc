// SPDX-License-Identifier: MIT
// Softmax attention: softmax(q k^T / sqrt(D)) v through at::scaled_dot_product_attention (Vaswani et al.
// 2017, equation 1).
#pragma once

#include "lotformer/attention/attention.h"

namespace lotformer {

struct SoftmaxOptions final : Options {
  // masked | reference (padded query rows are computed like any other, as published)
  std::string mode = "masked";
  void visit(FieldVisitor& visitor) override;
};

class SoftmaxAttentionImpl final : public AttentionImpl {
 public:
  SoftmaxAttentionImpl(const SoftmaxOptions& options, const AttentionShape& shape);
  bool padding_takes_part() const override { return reference_; }

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  bool reference_;
  double dropout_;
};

}  // namespace lotformer
