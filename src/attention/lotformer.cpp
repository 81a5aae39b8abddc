// SPDX-License-Identifier: MIT
#include "lotformer/attention/lotformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"
#include "lotformer/ops/token_scores.h"

namespace lotformer {
namespace {

constexpr double kLeastSquare = 1e-12;  // a vector of length zero stays zero, with a finite gradient
constexpr double kLargestLogKappa =
    20;  // learned penalties stay between "exactly" and "not at all", in float32 too

ops::PivotCore core_of(const std::string& name) {
  return name == "aten"   ? ops::PivotCore::aten
         : name == "cpu"  ? ops::PivotCore::cpu
         : name == "cuda" ? ops::PivotCore::cuda
                          : ops::PivotCore::automatic;
}

ops::PivotMode mode_of(const std::string& name) {
  return name == "reference"   ? ops::PivotMode::reference
         : name == "truncated" ? ops::PivotMode::truncated
                               : ops::PivotMode::exact;
}

}  // namespace

LotformerAttentionImpl::LotformerAttentionImpl(const LotformerOptions& options, const AttentionShape& shape)
    : AttentionImpl("lotformer", Compute::native), options_(options) {
  require_no_conflict(options, "model.attention");
  // Default linear layers map unit-variance features to queries of variance 1/3, so a pivot entry of std
  // epsilon sqrt(3) gives scores of std epsilon: the map starts with its rank in use instead of as mean
  // pooling.
  const double deviation = options_.pivot_init == "unit_score" ? options_.epsilon * std::sqrt(3.0) : 0.02;
  pivots =
      register_parameter("pivots", at::randn({shape.heads, options_.pivots, shape.head_dim}) * deviation);
  if (options_.masses == "learned") {
    pivot_logits = register_parameter("pivot_logits", at::zeros({shape.heads, options_.pivots}));
  }
  // Merged pivots add their masses, so masses that are not learned have to be stored once the rank adapts.
  if (options_.masses != "learned" && options_.adaptive_rank.every > 0) {
    pivot_logits = register_buffer("pivot_logits", at::zeros({shape.heads, options_.pivots}));
  }
  // Logits of standard deviation `token_mass_spread`, by the same reckoning; at 0 the first map is that of
  // uniform masses.
  const LotformerOptions::WeightedSides weighted = *options_.parse_token_masses();
  const auto mass_vector = [&](const char* name) {
    const double spread = options_.token_mass_spread * options_.epsilon * std::sqrt(3.0);
    return register_parameter(name, at::randn({shape.heads, shape.head_dim}) * spread);
  };
  if (weighted.query) query_mass_vector = mass_vector("query_mass_vector");
  if (weighted.key) key_mass_vector = mass_vector("key_mass_vector");
  if (options_.relaxation_learned) {
    const LotformerOptions::Relaxation rho = *options_.parse_relaxation();
    std::vector<double> start;  // of the sides that are held
    if (options_.holds_queries()) start.push_back(std::log(rho.query));
    if (options_.holds_keys()) start.push_back(std::log(rho.key));
    const at::Tensor sides = at::tensor(start, at::kFloat).unsqueeze(-1);
    log_relaxation = register_parameter("log_relaxation", sides.repeat({1, shape.heads}));
  }
}

at::Tensor LotformerAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                          const at::Tensor& lengths) {
  ops::PivotCall call = call_of(q, k, lengths);
  call.v = v.to(call.q.scalar_type());
  return ops::pivot_attention(call, &stats_);
}

at::Tensor LotformerAttentionImpl::mass_logits(const at::Tensor& like) const {
  if (surveyed_.logits.defined()) return surveyed_.logits.to(like.scalar_type());
  if (pivot_logits.defined()) return pivot_logits.to(like.scalar_type());
  return at::zeros({pivots.size(0), pivots.size(1)}, like.options().requires_grad(false));
}

ops::PivotSolverOptions LotformerAttentionImpl::solver_options() const {
  return {is_training() ? options_.tolerance : options_.eval_tolerance, options_.max_passes};
}

LotformerAttentionImpl::Scored LotformerAttentionImpl::scored(const at::Tensor& q, const at::Tensor& k,
                                                              const at::Tensor& lengths) const {
  // Transport is float32 at least: its small differences of exponents do not survive bf16.
  const at::ScalarType type = computing_type(q);
  const at::Tensor z = pivots.to(type);
  // A core that makes float32 of bf16 itself is spared the copies; nobody takes fp16.
  if (options_.qk_norm == "none" && q.scalar_type() == at::kBFloat16) return {q, k, z};
  if (options_.qk_norm == "none") return {q.to(type), k.to(type), z};
  // Rows of length sqrt(D) and pivots of length 1: with the factor D^(-1/2) the score is the cosine.
  const auto unit = [](const at::Tensor& x) {
    return x * (x.square().sum(-1, /*keepdim=*/true) + kLeastSquare).rsqrt();
  };
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));
  const double length = std::sqrt(static_cast<double>(q.size(3)));
  // Selected first: what stands in padding would come back as NaN in the gradient of the norm.
  return {unit(ops::select_real_tokens(q.to(type), mask)) * length,
          unit(ops::select_real_tokens(k.to(type), mask)) * length, unit(z)};
}

ops::TokenMasses LotformerAttentionImpl::token_masses(const Scored& x, const at::Tensor& lengths) const {
  const at::Tensor mask = ops::fill_empty_sequences(ops::length_mask(lengths, x.q.size(2)));
  const double scale = 1 / (options_.epsilon * std::sqrt(static_cast<double>(x.q.size(3))));
  const auto masses = [&](const at::Tensor& tokens, const at::Tensor& vector) -> at::Tensor {
    if (!vector.defined()) return {};
    const at::ScalarType type = x.z.scalar_type();
    at::Tensor logits = ops::token_scores(tokens.to(type), vector.to(type), scale, lengths);  // [B, H, N]
    if (mask.defined())
      logits = logits.masked_fill(mask.logical_not().unsqueeze(1), -std::numeric_limits<double>::infinity());
    return at::softmax(logits, -1);
  };
  return {masses(x.q, query_mass_vector), masses(x.k, key_mass_vector)};
}

ops::PivotMarginals LotformerAttentionImpl::marginals(const Scored& x, const at::Tensor& lengths) const {
  const at::Tensor& like = x.z;
  ops::PivotMarginals marginals;
  marginals.tokens = token_masses(x, lengths);
  const LotformerOptions::Relaxation rho = *options_.parse_relaxation();
  const auto kappa = [&](bool held, double own, int64_t row) -> at::Tensor {
    const auto constant = [&](double value) {
      return at::full({pivots.size(0)}, value, like.options().requires_grad(false));
    };
    if (!held) return constant(std::numeric_limits<double>::infinity());
    if (log_relaxation.defined()) {
      const at::Tensor log_kappa = std::log(options_.epsilon) - log_relaxation[row].to(like.scalar_type());
      return log_kappa.clamp(-kLargestLogKappa, kLargestLogKappa).exp();
    }
    return std::isinf(own) ? at::Tensor() : constant(options_.epsilon / own);
  };
  marginals.query_kappa = kappa(options_.holds_queries(), rho.query, 0);
  marginals.key_kappa = kappa(options_.holds_keys(), rho.key, options_.holds_queries() ? 1 : 0);
  marginals.keys_by_pivot = options_.keys_by_pivot();
  return marginals;
}

ops::PivotCall LotformerAttentionImpl::call_of(const at::Tensor& q, const at::Tensor& k,
                                               const at::Tensor& lengths) const {
  const Scored x = scored(q, k, lengths);
  ops::PivotCall call;
  call.q = x.q;
  call.k = x.k;
  call.pivots = x.z;
  call.lengths = lengths;
  call.epsilon = options_.epsilon;
  call.core = core_of(options_.core);
  call.mode = mode_of(options_.mode);
  call.half_iterations = options_.half_iterations;
  if (call.mode == ops::PivotMode::truncated) call.masses = at::log_softmax(mass_logits(x.z), -1);
  if (call.mode != ops::PivotMode::exact) return call;
  call.masses = at::softmax(mass_logits(x.z), -1);
  call.solver = solver_options();
  call.marginals = marginals(x, lengths);
  return call;
}

TransportPlans LotformerAttentionImpl::transport_plans(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& lengths) const {
  const ops::PivotPlans both = plans(q, k, lengths);
  return {both.query, both.key};
}

ops::PivotPlans LotformerAttentionImpl::plans(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& lengths) const {
  return ops::pivot_plans(call_of(q, k, lengths));
}

}  // namespace lotformer
