// SPDX-License-Identifier: MIT
#include "pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/where.h>

#include <limits>

namespace lotformer::ops {
namespace pivot::aten {
namespace {

/// p and, when asked, logsumexp_j(A_ij + h_j) [P, 1, N].
at::Tensor probabilities(const at::Tensor& logits, const at::Tensor& potentials, const at::Tensor& real,
                         at::Tensor* normaliser) {
  at::Tensor p = logits + potentials.unsqueeze(-1);        // [P, r, N]
  const at::Tensor largest = p.amax(1, /*keepdim=*/true);  // [P, 1, N]
  p.sub_(largest).clamp_min_(precision_of(p).lowest_exponent).exp_();
  const at::Tensor sum = p.sum(1, /*keepdim=*/true);
  p.mul_(real.defined() ? real / sum : sum.reciprocal());
  if (normaliser) *normaliser = sum.log().add_(largest);
  return p;
}

}  // namespace

const Precision& precision_of(const at::Tensor& x) {
  static const Precision kFloat{std::numeric_limits<float>::epsilon(), 1e-30, -60, 1e-6, 1e-5, 1e-6};
  static const Precision kDouble{std::numeric_limits<double>::epsilon(), 1e-290, -660, 1e-14, 1e-12, 1e-14};
  return x.scalar_type() == at::kDouble ? kDouble : kFloat;
}

at::Tensor log_target(const at::Tensor& sigma, const at::Tensor& potentials, const at::Tensor& kappa) {
  const at::Tensor log_sigma = sigma.clamp_min(precision_of(sigma).tiny).log();
  if (!kappa.defined()) return log_sigma;
  return at::where(kappa > 0, at::log_softmax(log_sigma - kappa * potentials, -1), log_sigma);
}

/// Two forms, each where it is accurate: differences from 1 for small exponents, logsumexp where a mass could
/// drown beside 1.
at::Tensor mass_term(const at::Tensor& sigma, const at::Tensor& potentials, const at::Tensor& kappa) {
  const at::Tensor s = sigma.to(at::kDouble), h = potentials.to(at::kDouble);
  const at::Tensor constraint = (s * h).sum(-1);
  if (!kappa.defined()) return constraint;
  const at::Tensor k = kappa.to(at::kDouble).squeeze(-1), lowest = h.amin(-1);
  const at::Tensor exponent = -kappa.to(at::kDouble) * (h - lowest.unsqueeze(-1));  // in (-inf, 0]
  const at::Tensor small = at::log1p((s * at::expm1(exponent)).sum(-1));
  const at::Tensor large = at::logsumexp(s.clamp_min(1e-290).log() + exponent, -1);
  const at::Tensor log_sum = at::where(exponent.amin(-1) > -0.5, small, large);
  return at::where(k > 0, lowest - log_sum / k.clamp_min(1e-290), constraint);
}

at::Tensor sure_gain(const at::Tensor& sigma, const at::Tensor& log_b, const at::Tensor& log_ratio,
                     const at::Tensor& kappa) {
  const at::Tensor divergence = (sigma * log_ratio).sum(-1);
  if (!kappa.defined()) return divergence;
  const at::Tensor b = log_b.exp(), k = kappa.squeeze(-1);
  const at::Tensor loss = (b * at::expm1(-kappa / (1 + kappa) * log_ratio)).sum(-1);  // M - 1
  const at::Tensor gain = -at::log1p(loss) * (1 + k) / k.clamp_min(precision_of(b).tiny);
  return at::where(k > 0, gain, divergence);
}

Pass evaluate(const at::Tensor& logits, const at::Tensor& potentials, const TokenMarginal& tokens,
              const at::Tensor& sigma, const at::Tensor& kappa) {
  at::Tensor normaliser;
  const at::Tensor p = probabilities(logits, potentials, tokens.real, &normaliser);
  if (tokens.real.defined()) normaliser.mul_(tokens.real);
  Pass pass;
  pass.marginal = tokens.mean(p);
  pass.gram = tokens.mean_product(p, p.transpose(1, 2));
  const at::Tensor mean_normaliser =
      tokens.masses.defined()
          ? (normaliser.to(at::kDouble) * tokens.masses).sum({1, 2})
          : normaliser.sum({1, 2}, /*keepdim=*/false, at::kDouble) * tokens.share.squeeze(1);
  pass.dual = mass_term(sigma, potentials, kappa) - mean_normaliser;
  const at::Tensor target =
      kappa.defined() ? at::where(kappa > 0, log_target(sigma, potentials, kappa).exp(), sigma) : sigma;
  pass.residual = (pass.marginal - target).abs().sum(-1);
  return pass;
}

}  // namespace pivot::aten

at::Tensor TokenMarginal::a() const {
  if (masses.defined()) return masses;
  return real.defined() ? real * share.unsqueeze(-1) : share.unsqueeze(-1);
}

at::Tensor TokenMarginal::mean(const at::Tensor& x) const {
  return masses.defined() ? (x * masses).sum(-1) : x.sum(-1) * share;
}

at::Tensor TokenMarginal::mean_product(const at::Tensor& x, const at::Tensor& y) const {
  return masses.defined() ? at::bmm(x * masses, y) : at::bmm(x, y) * share.unsqueeze(-1);
}

at::Tensor TokenMarginal::concentration() const {
  return masses.defined() ? masses.square().sum({1, 2}) : share.squeeze(-1);
}

at::Tensor pivot_probabilities(const at::Tensor& logits, const at::Tensor& potentials,
                               const TokenMarginal& tokens) {
  return pivot::aten::probabilities(logits, potentials, tokens.real, nullptr);
}

}  // namespace lotformer::ops
