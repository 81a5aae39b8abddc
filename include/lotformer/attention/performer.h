// SPDX-License-Identifier: MIT
// Performer attention, FAVOR+ (Choromanski et al. 2021, "Rethinking Attention with Performers", lemma 1 and
// section 3): softmax(q k^T / sqrt(D)) estimated by m positive random features, O(N m D) time, O(N m) memory.
#pragma once

#include "lotformer/attention/attention.h"

namespace lotformer {

struct PerformerOptions final : Options {
  std::string mode = "masked";     // masked | favor | reference
  int64_t features = 128;          // m
  std::string kernel = "softmax";  // softmax | relu
  int64_t redraw_every = 0;        // training calls between new projections; 0: never
  void visit(FieldVisitor& visitor) override;
  std::vector<Conflict> conflicts() const override;
};

/// Buffers: `projection` [m, D], rows orthogonal in blocks of D, lengths of Gaussian vectors, one for all
/// heads; `calls` int64 [], training calls so far (only counted when redraw_every > 0). Both are part of a
/// checkpoint.
class PerformerAttentionImpl final : public AttentionImpl {
 public:
  PerformerAttentionImpl(const PerformerOptions& options, const AttentionShape& shape);
  bool padding_takes_part() const override { return options_.mode.starts_with("reference"); }

  at::Tensor projection;  // [m, D]

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  void redraw_if_due();
  PerformerOptions options_;
  at::Tensor calls_;
};

}  // namespace lotformer
