// SPDX-License-Identifier: MIT
// Linear attention (Katharopoulos et al. 2020, "Transformers are RNNs", equations 5 and 7): the worked
// example of docs/adding-an-attention.md.
#pragma once

#include "lotformer/attention/attention.h"

namespace lotformer {

struct LinearOptions final : Options {
  double floor = 1e-6;  // smallest feature
  void visit(FieldVisitor& visitor) override;
};

/// out_i = phi(q_i) sum_j phi(k_j) v_j^T / (phi(q_i) . sum_j phi(k_j)), phi(x) = elu(x) + 1 + floor. O(N
/// D^2).
class LinearAttentionImpl final : public AttentionImpl {
 public:
  LinearAttentionImpl(const LinearOptions& options, const AttentionShape& shape);

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  double floor_;
};

}  // namespace lotformer
