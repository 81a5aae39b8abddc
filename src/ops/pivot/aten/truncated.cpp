// SPDX-License-Identifier: MIT
// The modes with a fixed number T of half-iterations, in the log domain and differentiated by autograd: the
// oracle, not tuned.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "aten.h"
#include "lotformer/ops/lengths.h"
#include "ops/pivot/newton_rules.h"
#include "problem.h"

namespace lotformer::ops {
namespace {

constexpr double kLeastMass = 1e-37;  // a pivot mass that underflows passes on nothing instead of 0 / 0
constexpr double kNoMass = -std::numeric_limits<double>::infinity();

/// log plan [P, r, N] after T half-iterations on logits [P, r, N]. log_tokens [P, 1, 1], log_pivots [P, r,
/// 1]; padding [P, 1, N] bool or undefined: tokens without mass, whose log potential is -infinity from the
/// start (selected, so no gradient passes).
at::Tensor log_plan(const at::Tensor& logits, const at::Tensor& log_tokens, const at::Tensor& log_pivots,
                    const at::Tensor& padding, int64_t half_iterations, bool tokens_first) {
  const auto without_padding = [&](const at::Tensor& potential) {
    return padding.defined() ? potential.masked_fill(padding, kNoMass) : potential;
  };
  at::Tensor token = without_padding(at::zeros({logits.size(0), 1, logits.size(2)}, logits.options()));
  at::Tensor pivot = at::zeros({logits.size(0), logits.size(1), 1}, logits.options());
  for (int64_t i = 0; i < half_iterations; ++i) {
    const bool update_tokens = (i % 2 == 0) == tokens_first;
    if (update_tokens) {
      token = without_padding(log_tokens - at::logsumexp(logits + pivot, {1}, /*keepdim=*/true));
    } else {
      pivot = log_pivots - at::logsumexp(logits + token, {2}, /*keepdim=*/true);
    }
  }
  return logits + token + pivot;
}

}  // namespace

PivotPlans pivot::aten::truncated_plans(const PivotCall& call) {
  const at::Tensor& q = call.q;
  const at::Tensor mask = length_mask(call.lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const at::Tensor padding = tokens.real.defined() ? tokens.real.eq(0) : at::Tensor();
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * call.epsilon);
  const at::Tensor z = repeat_for_batch(call.pivots * scale, q.size(0));
  const at::Tensor log_pivots = repeat_for_batch(call.masses, q.size(0)).unsqueeze(-1);
  const auto plan = [&](const at::Tensor& x, bool tokens_first) {
    const at::Tensor logits =
        at::bmm(z, flatten_heads(select_real_tokens(x, mask)).transpose(1, 2));  // [P, r, N]
    const at::Tensor result = log_plan(logits, tokens.share.unsqueeze(-1).log(), log_pivots, padding,
                                       call.half_iterations, tokens_first)
                                  .exp();
    return select_real_columns(result.unflatten(0, {q.size(0), q.size(1)}), mask);
  };
  return {plan(q, /*tokens_first=*/true), plan(call.k, /*tokens_first=*/false)};
}

PivotPlans pivot::aten::reference_plans(const PivotCall& call) {
  const at::Tensor& q = call.q;
  const auto uniform = [&](int64_t size) {
    return at::full({1, 1, 1}, -std::log(static_cast<double>(size)), q.options().requires_grad(false));
  };
  const at::Tensor log_tokens = uniform(q.size(2)), log_pivots = uniform(call.pivots.size(1));
  const at::Tensor z =
      repeat_for_batch(call.pivots * (1 / std::sqrt(static_cast<double>(q.size(3)))), q.size(0));
  const auto plan = [&](const at::Tensor& x, bool tokens_first) {
    const at::Tensor scores = at::bmm(z, flatten_heads(x).transpose(1, 2))
                                  .clamp(-pivot::rules::kPublishedClamp, pivot::rules::kPublishedClamp);
    const at::Tensor result =
        log_plan(scores / call.epsilon, log_tokens, log_pivots, {}, call.half_iterations, tokens_first).exp();
    return result.unflatten(0, {q.size(0), q.size(1)});
  };
  return {plan(q, /*tokens_first=*/true), plan(call.k, /*tokens_first=*/false)};
}

at::Tensor pivot::aten::truncated(const PivotCall& call) {
  const at::Tensor& q = call.q;
  if (q.numel() == 0) return at::zeros_like(q);
  const at::Tensor mask = length_mask(call.lengths, q.size(2));
  const PivotPlans plans = truncated_plans(call);
  const at::Tensor pooled = at::matmul(plans.key, select_real_tokens(call.v, mask)) /
                            call.masses.exp().clamp_min(kLeastMass).unsqueeze(-1);
  const at::Tensor out = at::matmul(plans.query.transpose(2, 3), pooled);
  if (!mask.defined()) return out * static_cast<double>(q.size(2));
  const at::Tensor count = mask.sum(1).to(q.scalar_type());  // 0 for an empty sequence, whose rows are zero
  return select_real_tokens(out * count.reshape({-1, 1, 1, 1}), mask);
}

at::Tensor pivot::aten::reference(const PivotCall& call) {
  const at::Tensor& q = call.q;
  if (q.numel() == 0) return at::zeros_like(q);
  const PivotPlans plans = reference_plans(call);
  const double gluing =
      static_cast<double>(q.size(2)) / static_cast<double>(call.pivots.size(1));  // N r^(-1/2) r^(-1/2)
  return at::matmul(plans.query.transpose(2, 3), at::matmul(plans.key, call.v)) * gluing;
}

}  // namespace lotformer::ops
