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

/// diag(mass)^(-1/2) G diag(mass)^(-1/2) with G = sum_i a_i p_i p_i^T, from a plan [B, H, r, N] whose entries
/// are a_i p_ij; `mass` [B, H, r] is what the map divides by. float64 [B, H, r, r]. The token masses a are 1
/// / count, or, `weighted`, what the plan says: the singular values are then those of the map between the two
/// weighted spaces.
at::Tensor scaled_gram(const at::Tensor& plan, const at::Tensor& mass, const at::Tensor& counts,
                       bool weighted) {
  const at::Tensor p = plan.to(at::kDouble);
  const at::Tensor per_mass =
      weighted ? p / p.sum(-2, /*keepdim=*/true).clamp_min(1e-300) : p * counts.view({-1, 1, 1, 1});
  const at::Tensor gram = at::matmul(per_mass, p.transpose(-2, -1));
  const at::Tensor scale = mass.clamp_min(1e-300).rsqrt();
  return scale.unsqueeze(-1) * gram * scale.unsqueeze(-2);
}

/// Tokens of each example that the map knows, [B] float64.
at::Tensor token_counts(const at::Tensor& x, const at::Tensor& lengths) {
  if (lengths.defined()) return lengths.clamp_min(1).to(at::kDouble);
  return at::full({x.size(0)}, static_cast<double>(x.size(2)), x.options().dtype(at::kDouble));
}

/// Standard deviation of the scores over tokens and pivots, centred in both, over epsilon; mean over
/// problems. The sum of squares of X Z^T is that of the products of the two D x D Gram matrices: no scores
/// are formed.
at::Tensor sharpness(const at::Tensor& x, const at::Tensor& pivots, const at::Tensor& lengths,
                     double epsilon) {
  const at::Tensor mask = lengths.defined() ? ops::length_mask(lengths, x.size(2)) : at::Tensor();
  const at::Tensor n = token_counts(x, lengths).view({-1, 1, 1, 1});
  at::Tensor tokens = ops::select_real_tokens(x, mask).to(at::kDouble);  // [B, H, N, D]
  tokens = ops::select_real_tokens(tokens - tokens.sum(2, /*keepdim=*/true) / n, mask);
  at::Tensor z = pivots.to(at::kDouble);  // [H, r, D]
  z = z - z.mean(1, /*keepdim=*/true);
  const at::Tensor spread = at::matmul(tokens.transpose(2, 3), tokens) / n;
  const at::Tensor pivot_spread = at::matmul(z.transpose(1, 2), z) / static_cast<double>(z.size(1));
  const at::Tensor variance = (spread * pivot_spread).sum({2, 3}).clamp_min(0);
  return variance.sqrt().mean() / (std::sqrt(static_cast<double>(x.size(3))) * epsilon);
}

}  // namespace

Diagnostics LotformerAttentionImpl::diagnose(const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& lengths) {
  Diagnostics found = probe_attention(*this, q, k, lengths);
  if (found.empty()) return found;
  const at::NoGradGuard no_grad;
  const at::ScalarType type = computing_type(q);
  const ops::PivotPlans both = plans(q.to(type), k.to(type), lengths);
  // Mode `reference` spreads its mass over padding too.
  const bool masked = lengths.defined() && options_.mode != "reference";
  const at::Tensor counts = token_counts(q, masked ? lengths : at::Tensor());
  // The summary values are divided by the key side's own pivot marginal; where both sides are held it is that
  // of the query side too.
  const at::Tensor key_mass = both.key.to(at::kDouble).sum(-1);
  const at::Tensor query_mass = options_.mode == "exact" ? key_mass : both.query.to(at::kDouble).sum(-1);
  const at::Tensor values =
      map_singular_values(scaled_gram(both.query, query_mass, counts, query_mass_vector.defined()),
                          scaled_gram(both.key, key_mass, counts, key_mass_vector.defined()));
  for (auto& [name, value] : found) {
    if (name == "effective_rank") value = effective_rank(values);
  }
  const at::Tensor means = values.mean(at::IntArrayRef({0, 1})).cpu();  // over examples and heads
  for (int64_t i = 0; i < means.size(0); ++i)
    found.emplace_back("singular_values[]", means.const_data_ptr<double>()[i]);
  const Diagnostics solver = read_numbers(solver_record(q.to(type), k.to(type), lengths));
  found.insert(found.end(), solver.begin(), solver.end());
  return found;
}

DeviceDiagnostics LotformerAttentionImpl::solver_record(const at::Tensor& q, const at::Tensor& k,
                                                        const at::Tensor& lengths) {
  const at::NoGradGuard no_grad;
  const at::Tensor known = options_.mode == "reference" ? at::Tensor() : lengths;
  const Scored x = scored(q, k, known);
  DeviceDiagnostics found = {{"query_sharpness", sharpness(x.q, x.z, known, options_.epsilon)},
                             {"key_sharpness", sharpness(x.k, x.z, known, options_.epsilon)}};
  if (options_.mode != "exact") return found;
  const auto number = [](auto value) { return at::scalar_tensor(value, at::kDouble); };
  const bool counted = !stats_.passes.defined();
  found.emplace_back("passes_mean",
                     counted ? number(stats_.mean_passes()) : stats_.passes.to(at::kDouble).mean());
  found.emplace_back("passes_max", counted ? number(stats_.longest) : stats_.passes.max());
  const SolverCount count = solver_count();
  found.emplace_back("capped", count.problems > 0 ? count.unconverged : number(0));
  found.emplace_back("residual_max", count.problems > 0 ? count.residual : number(0));
  return found;
}

SolverCount LotformerAttentionImpl::solver_count() const {
  const at::Tensor& residual = stats_.residual;
  if (options_.mode != "exact" || !residual.defined() || residual.numel() == 0) return {};
  // Not `gt`: NaN has not converged either.
  return {residual.numel(), residual.le(stats_.options.tolerance).logical_not().sum(),
          residual.max().to(at::kDouble)};
}

}  // namespace lotformer
