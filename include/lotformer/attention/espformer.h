// SPDX-License-Identifier: MIT
// ESPFormer attention (Shahbazi et al. 2025, "ESPFormer: Doubly-Stochastic Attention with Expected Sliced
// Transport Plans"): one-dimensional transport plans along L slices, mixed by their costs. Formulas and cost:
// docs/espformer.md.
#pragma once

#include "lotformer/attention/attention.h"
#include "lotformer/ops/sliced_attention.h"

namespace lotformer {

struct EspformerOptions final : Options {
  std::string mode = "masked";      // masked | reference | reference_fill
  double tau = 1e-3;                // of the soft sort, in squared units of q / sqrt(D)
  double inverse_temperature = 10;  // of the mixture over slices; 0: their mean
  std::string slices = "axes";      // axes | learned | given
  int64_t slice_count = 0;          // learned, given; 0: head_dim
  std::string weights = "exact";    // exact | sampled
  int64_t weight_samples = 256;     // sampled only: queries that enter the costs
  bool hard = false;                // tau -> 0
  void visit(FieldVisitor& visitor) override;
  std::vector<Conflict> conflicts() const override;
};

/// `directions` [H, L, D], rows orthonormal at the start (in blocks of D rows where L > D): a parameter with
/// slices = learned, a buffer with slices = given (assign it to give others; part of a checkpoint), absent
/// with axes. Their lengths scale tau.
class EspformerAttentionImpl final : public AttentionImpl {
 public:
  EspformerAttentionImpl(const EspformerOptions& options, const AttentionShape& shape);
  bool padding_takes_part() const override { return options_.mode.starts_with("reference"); }

  /// Sums of the map over its keys and over its queries, [B, H, N] each, without forming it, with exact
  /// weights. They are 1 only as tau -> 0.
  struct Sums {
    at::Tensor rows, columns;
  };
  Sums sums(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) const;

  at::Tensor directions;

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  ops::SlicedInputs inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& lengths) const;
  ops::SlicedOptions sliced_options() const;

  EspformerOptions options_;
};

}  // namespace lotformer
