// SPDX-License-Identifier: MIT
#include "lotformer/attention/lotformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>

#include "lotformer/core/error.h"
#include "lotformer/ops/lengths.h"

namespace lotformer {

void LotformerOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "mode",
                 .help = "reference: published arithmetic; truncated: T half-iterations, masked; exact: "
                         "solved to tolerance",
                 .choices = {"reference", "truncated", "exact"}},
                mode);
  visitor.field({.key = "pivots",
                 .help = "number r of pivots, the rank of the attention map",
                 .range = {.low = 1, .high = 1024}},
                pivots);
  visitor.field({.key = "epsilon",
                 .help = "entropic regularisation, in the unit of the scores",
                 .range = {.low = 0, .low_open = true}},
                epsilon);
  visitor.field({.key = "half_iterations",
                 .help = "half-iterations T a side; modes reference and truncated",
                 .range = {.low = 1, .high = 100000}},
                half_iterations);
  visitor.field({.key = "tolerance",
                 .help = "mode exact, training: marginal residual at which a problem is solved",
                 .range = {.low = 0, .high = 2, .low_open = true}},
                tolerance);
  visitor.field({.key = "eval_tolerance",
                 .help = "the same in evaluation",
                 .range = {.low = 0, .high = 2, .low_open = true}},
                eval_tolerance);
  visitor.field({.key = "max_passes",
                 .help = "mode exact: passes over the tokens before rounding takes over",
                 .range = {.low = 1, .high = 100000}},
                max_passes);
  visitor.field({.key = "masses",
                 .help = "pivot masses: equal, or learned as a softmax",
                 .choices = {"uniform", "learned"}},
                masses);
  visitor.field({.key = "pivot_init",
                 .help = "0.02: normal(0, 0.02), as published; unit_score: normal(0, epsilon sqrt(3)), "
                         "scores start at the scale of epsilon",
                 .choices = {"0.02", "unit_score"}},
                pivot_init);
  visitor.field({.key = "core", .help = "implementation", .choices = {"auto", "aten"}}, core);
}

std::vector<Conflict> LotformerOptions::conflicts() const {
  if (mode != "reference" || masses != "learned") return {};
  return {{{"masses", "mode"},
           "masses learned needs mode truncated or exact; mode reference has uniform masses"}};
}

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
}

at::Tensor LotformerAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                           const at::Tensor& lengths) {
  ops::check_attention_inputs("lotformer", q, k, v, lengths);
  // Transport is float32 at least: its small differences of exponents do not survive bf16.
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::ScalarType type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return transport(q.to(type), k.to(type), v.to(type), lengths).to(q.scalar_type());
}

at::Tensor LotformerAttentionImpl::mass_logits(const at::Tensor& like) const {
  if (pivot_logits.defined()) return pivot_logits.to(like.scalar_type());
  return at::zeros({pivots.size(0), pivots.size(1)}, like.options().requires_grad(false));
}

ops::PivotSolverOptions LotformerAttentionImpl::solver_options() const {
  return {is_training() ? options_.tolerance : options_.eval_tolerance, options_.max_passes};
}

at::Tensor LotformerAttentionImpl::transport(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                             const at::Tensor& lengths) {
  const at::Tensor z = pivots.to(q.scalar_type());
  if (options_.mode == "reference") {
    return ops::pivot_attention_reference(q, k, v, z, options_.epsilon, options_.half_iterations);
  }
  if (options_.mode == "truncated") {
    return ops::pivot_attention_truncated(q, k, v, z, at::log_softmax(mass_logits(q), -1), lengths,
                                          options_.epsilon, options_.half_iterations);
  }
  return ops::pivot_attention_exact(q, k, v, z, at::softmax(mass_logits(q), -1), lengths, options_.epsilon,
                                    solver_options(), &stats_);
}

ops::PivotPlans LotformerAttentionImpl::plans(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& lengths) const {
  const at::Tensor z = pivots.to(q.scalar_type());
  if (options_.mode == "reference") {
    return ops::pivot_plans_reference(q, k, z, options_.epsilon, options_.half_iterations);
  }
  if (options_.mode == "truncated") {
    return ops::pivot_plans_truncated(q, k, z, at::log_softmax(mass_logits(q), -1), lengths, options_.epsilon,
                                      options_.half_iterations);
  }
  return ops::pivot_plans_exact(q, k, z, at::softmax(mass_logits(q), -1), lengths, options_.epsilon,
                                solver_options());
}

}  // namespace lotformer
