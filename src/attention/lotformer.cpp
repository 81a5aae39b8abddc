// SPDX-License-Identifier: MIT
#include "lotformer/attention/lotformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"
#include "lotformer/ops/pivot_core.h"
#include "lotformer/ops/token_scores.h"

namespace lotformer {
namespace {

constexpr double kLeastSquare = 1e-12;  // a vector of length zero stays zero, with a finite gradient
constexpr double kLargestLogKappa =
    20;  // learned penalties stay between "exactly" and "not at all", in float32 too

/// Of scores, masses and pivots.
at::ScalarType transport_type(const at::Tensor& q) {
  return q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace

LotformerAttentionImpl::LotformerAttentionImpl(const LotformerOptions& options, const AttentionShape& shape)
    : options_(options) {
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
  // Logits of standard deviation `token_mass_spread`, by the same reckoning; at 0 the first map is that of uniform masses.
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

at::Tensor LotformerAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                           const at::Tensor& lengths) {
  ops::check_attention_inputs("lotformer", q, k, v, lengths);
  // Transport is float32 at least: its small differences of exponents do not survive bf16.
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  // A core that makes float32 of it itself is spared the copies.
  const bool as_is =
      options_.qk_norm == "none" && through_core(q) && ops::pivot_core_takes(q.device(), q.scalar_type());
  const at::ScalarType type = as_is ? q.scalar_type() : transport_type(q);
  return transport(q.to(type), k.to(type), v.to(type), lengths).to(q.scalar_type());
}

at::Tensor LotformerAttentionImpl::mass_logits(const at::Tensor& like) const {
  if (surveying_ && survey_logits_.defined()) return survey_logits_.to(like.scalar_type());
  if (pivot_logits.defined()) return pivot_logits.to(like.scalar_type());
  return at::zeros({pivots.size(0), pivots.size(1)}, like.options().requires_grad(false));
}

ops::PivotSolverOptions LotformerAttentionImpl::solver_options() const {
  return {is_training() ? options_.tolerance : options_.eval_tolerance, options_.max_passes};
}

LotformerAttentionImpl::Scored LotformerAttentionImpl::scored(const at::Tensor& q, const at::Tensor& k,
                                                              const at::Tensor& lengths) const {
  const at::Tensor z = pivots.to(transport_type(q));
  if (options_.qk_norm == "none") return {q, k, z};
  // Rows of length sqrt(D) and pivots of length 1: with the factor D^(-1/2) the score is the cosine.
  const auto unit = [](const at::Tensor& x) {
    return x * (x.square().sum(-1, /*keepdim=*/true) + kLeastSquare).rsqrt();
  };
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));
  const double length = std::sqrt(static_cast<double>(q.size(3)));
  // Selected first: what stands in padding would come back as NaN in the gradient of the norm.
  return {unit(ops::select_real_tokens(q, mask)) * length, unit(ops::select_real_tokens(k, mask)) * length,
          unit(z)};
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

/// Whether a registered core does the work. A core that is named must be able to.
bool LotformerAttentionImpl::through_core(const at::Tensor& q) const {
  if (options_.core == "aten") return false;
  // Modes of T half-iterations stay with ATen: the core does not survive learned masses that underflow.
  if (options_.core == "auto")
    return options_.mode == "exact" && !options_.keys_by_pivot() && ops::pivot_core_on(q.device());
  if (options_.core == "cuda" && !ops::pivot_core_on(c10::Device(at::kCUDA, 0)))
    throw Error(ErrorKind::usage, "model.attention.core: this build has no cuda core; use auto, aten or cpu");
  if (q.device().type() != (options_.core == "cpu" ? at::kCPU : at::kCUDA))
    throw Error(ErrorKind::usage,
                concat("model.attention.core: ", options_.core, " does not serve tensors on ",
                       q.device().str(), "; use auto or aten"));
  return true;
}

at::Tensor LotformerAttentionImpl::transport(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                             const at::Tensor& lengths) {
  if (surveying_) survey_batch(q.detach(), k.detach(), lengths);
  const Scored x = scored(q, k, lengths);
  if (through_core(q)) return transport_by_core(x, v, lengths);
  if (options_.mode == "reference") {
    return ops::pivot_attention_reference(x.q, x.k, v, x.z, options_.epsilon, options_.half_iterations);
  }
  if (options_.mode == "truncated") {
    return ops::pivot_attention_truncated(x.q, x.k, v, x.z, at::log_softmax(mass_logits(q), -1), lengths,
                                          options_.epsilon, options_.half_iterations);
  }
  return ops::pivot_attention_exact(x.q, x.k, v, x.z, at::softmax(mass_logits(q), -1), lengths,
                                    options_.epsilon, solver_options(), &stats_, marginals(x, lengths));
}

at::Tensor LotformerAttentionImpl::transport_by_core(const Scored& x, const at::Tensor& v,
                                                     const at::Tensor& lengths) {
  const double epsilon = options_.epsilon;
  if (options_.mode == "reference")
    return ops::pivot_core_reference(x.q, x.k, v, x.z, epsilon, options_.half_iterations);
  if (options_.mode == "truncated") {
    return ops::pivot_core_truncated(x.q, x.k, v, x.z, at::log_softmax(mass_logits(x.z), -1), lengths,
                                     epsilon, options_.half_iterations);
  }
  const at::Tensor sigma = at::softmax(mass_logits(x.z), -1);
  const ops::PivotMarginals both = marginals(x, lengths);
  at::Tensor kappa;
  if (!both.all_held()) {
    const at::Tensor held = at::zeros({pivots.size(0)}, x.z.options().requires_grad(false));
    const auto row = [&](const at::Tensor& own) { return own.defined() ? own : held; };
    kappa = at::stack({row(both.query_kappa), row(both.key_kappa)});
  }
  return ops::pivot_core_exact(x.q, x.k, v, x.z, sigma, lengths, epsilon, solver_options(), &stats_, kappa,
                               both.tokens);
}

TransportPlans LotformerAttentionImpl::transport_plans(const at::Tensor& q, const at::Tensor& k,
                                                       const at::Tensor& lengths) const {
  const ops::PivotPlans both = plans(q, k, lengths);
  return {both.query, both.key};
}

ops::PivotPlans LotformerAttentionImpl::plans(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& lengths) const {
  const Scored x = scored(q, k, lengths);
  if (options_.mode == "reference") {
    return ops::pivot_plans_reference(x.q, x.k, x.z, options_.epsilon, options_.half_iterations);
  }
  if (options_.mode == "truncated") {
    return ops::pivot_plans_truncated(x.q, x.k, x.z, at::log_softmax(mass_logits(q), -1), lengths,
                                      options_.epsilon, options_.half_iterations);
  }
  return ops::pivot_plans_exact(x.q, x.k, x.z, at::softmax(mass_logits(q), -1), lengths, options_.epsilon,
                                solver_options(), marginals(x, lengths));
}

}  // namespace lotformer
