// SPDX-License-Identifier: MIT
// Rank and sharpness of a LOTFormer layer.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>

#include <cmath>

#include "lotformer/attention/lotformer.h"
#include "lotformer/ops/lengths.h"
#include "pivot_merging.h"

namespace lotformer {
namespace {

/// diag(mass)^(-1/2) G diag(mass)^(-1/2) with G = sum_i a_i p_i p_i^T, from a plan [B, H, r, N] whose entries are a_i p_ij and whose
/// token masses are 1 / count; `mass` [B, H, r] is what the map divides by. float64 [B, H, r, r].
at::Tensor scaled_gram(const at::Tensor& plan, const at::Tensor& mass, const at::Tensor& counts) {
  const at::Tensor p = plan.to(at::kDouble);
  const at::Tensor gram = at::matmul(p, p.transpose(-2, -1)) * counts.view({-1, 1, 1, 1});
  const at::Tensor scale = mass.clamp_min(1e-300).rsqrt();
  return scale.unsqueeze(-1) * gram * scale.unsqueeze(-2);
}

/// Standard deviation of the scores over tokens and pivots, centred in both, over epsilon; mean over problems.
double sharpness(const at::Tensor& x, const at::Tensor& pivots, const at::Tensor& mask,
                 const at::Tensor& counts, double epsilon) {
  const at::Tensor tokens = ops::select_real_tokens(x, mask).to(at::kDouble);
  at::Tensor scores = at::matmul(tokens, pivots.to(at::kDouble).transpose(-2, -1)) /
                      (std::sqrt(static_cast<double>(x.size(3))) * epsilon);  // [B, H, N, r]
  scores = scores - scores.mean(-1, /*keepdim=*/true);
  const at::Tensor n = counts.view({-1, 1, 1, 1});
  scores = ops::select_real_tokens(scores - scores.sum(2, /*keepdim=*/true) / n, mask);
  return (scores.square().sum({2, 3}) / (counts.view({-1, 1}) * pivots.size(1))).sqrt().mean().item<double>();
}

}  // namespace

Diagnostics LotformerAttentionImpl::diagnose(const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& lengths) {
  Diagnostics found = probe_attention(*this, q, k, lengths);
  if (found.empty()) return found;
  const at::NoGradGuard no_grad;
  const at::ScalarType type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const ops::PivotPlans both = plans(q.to(type), k.to(type), lengths);
  // Mode `reference` spreads its mass over padding too.
  const bool masked = lengths.defined() && options_.mode != "reference";
  const at::Tensor counts =
      masked ? lengths.clamp_min(1).to(at::kDouble)
             : both.query.new_zeros({q.size(0)}, at::kDouble).fill_(static_cast<double>(q.size(2)));
  // The summary values are divided by the key side's own pivot marginal; where both sides are held it is that of the query side too.
  const at::Tensor key_mass = both.key.to(at::kDouble).sum(-1);
  const at::Tensor query_mass = options_.mode == "exact" ? key_mass : both.query.to(at::kDouble).sum(-1);
  const at::Tensor values = map_singular_values(scaled_gram(both.query, query_mass, counts),
                                                scaled_gram(both.key, key_mass, counts));
  for (auto& [name, value] : found) {
    if (name == "effective_rank") value = effective_rank(values);
  }
  const at::Tensor means = values.mean(at::IntArrayRef({0, 1})).cpu();  // over examples and heads
  for (int64_t i = 0; i < means.size(0); ++i)
    found.emplace_back("singular_values[]", means.const_data_ptr<double>()[i]);
  const at::Tensor mask = masked ? ops::length_mask(lengths, q.size(2)) : at::Tensor();
  const Scored x = scored(q, k, masked ? lengths : at::Tensor());
  found.emplace_back("query_sharpness", sharpness(x.q, x.z, mask, counts, options_.epsilon));
  found.emplace_back("key_sharpness", sharpness(x.k, x.z, mask, counts, options_.epsilon));
  if (options_.mode == "exact") {
    const ops::PivotSolveStats stats = stats_.counted();
    found.emplace_back("passes_mean", stats.mean_passes());
    found.emplace_back("passes_max", static_cast<double>(stats.longest));
    found.emplace_back("capped", static_cast<double>(stats.capped));
    found.emplace_back("residual_max", stats.max_residual());
  }
  return found;
}

}  // namespace lotformer
