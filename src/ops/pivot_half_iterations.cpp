// SPDX-License-Identifier: MIT
// The modes with a fixed number T of half-iterations, in the log domain and differentiated by autograd: the
// oracle, not tuned.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "lotformer/ops/lengths.h"
#include "lotformer/ops/pivot_attention.h"
#include "pivot_problem.h"

namespace lotformer::ops {
namespace {

constexpr double kReferenceClamp = 50;  // of the published scores, before the division by epsilon
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

at::Tensor pivot_attention_truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, const at::Tensor& log_sigma,
                                     const at::Tensor& lengths, double epsilon, int64_t half_iterations) {
  if (q.numel() == 0) return at::zeros_like(q);
  const at::Tensor mask = length_mask(lengths, q.size(2));
  const TokenMarginal tokens = token_marginal(fill_empty_sequences(mask), q);
  const at::Tensor padding = tokens.real.defined() ? tokens.real.eq(0) : at::Tensor();
  const at::Tensor share = tokens.share.unsqueeze(-1);  // [P, 1, 1]
  const double scale = 1 / (std::sqrt(static_cast<double>(q.size(3))) * epsilon);
  const at::Tensor z = repeat_for_batch(pivots * scale, q.size(0));
  const at::Tensor log_masses = repeat_for_batch(log_sigma, q.size(0)).unsqueeze(-1);
  const auto plan = [&](const at::Tensor& x, bool tokens_first) {  // [P, r, N]
    const at::Tensor logits = at::bmm(z, flatten_heads(select_real_tokens(x, mask)).transpose(1, 2));
    return log_plan(logits, share.log(), log_masses, padding, half_iterations, tokens_first).exp();
  };
  const at::Tensor pooled =
      at::bmm(plan(k, /*tokens_first=*/false), flatten_heads(select_real_tokens(v, mask))) / log_masses.exp();
  const at::Tensor out = at::bmm(plan(q, /*tokens_first=*/true).transpose(1, 2), pooled) / share;
  return select_real_tokens(out.unflatten(0, {q.size(0), q.size(1)}), mask);
}

at::Tensor pivot_attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, double epsilon, int64_t half_iterations) {
  if (q.numel() == 0) return at::zeros_like(q);
  const int64_t batch = q.size(0), tokens = q.size(2), rank = pivots.size(1);
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor z = repeat_for_batch(pivots * scale, batch);
  const at::Tensor log_tokens = at::full({1, 1, 1}, -std::log(static_cast<double>(tokens)), q.options());
  const at::Tensor log_pivots = at::full({1, 1, 1}, -std::log(static_cast<double>(rank)), q.options());
  const auto plan = [&](const at::Tensor& x, bool tokens_first) {
    const at::Tensor scores =
        at::bmm(z, flatten_heads(x).transpose(1, 2)).clamp(-kReferenceClamp, kReferenceClamp);
    return log_plan(scores / epsilon, log_tokens, log_pivots, {}, half_iterations, tokens_first).exp();
  };
  const at::Tensor pooled = at::bmm(plan(k, /*tokens_first=*/false), flatten_heads(v));
  const double gluing = static_cast<double>(tokens) / static_cast<double>(rank);  // N r^(-1/2) r^(-1/2)
  const at::Tensor out = at::bmm(plan(q, /*tokens_first=*/true).transpose(1, 2), pooled) * gluing;
  return out.unflatten(0, {batch, q.size(1)});
}

}  // namespace lotformer::ops
