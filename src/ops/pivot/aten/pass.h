// SPDX-License-Identifier: MIT
// One pass of the solver of solver.h over P problems: what it evaluates, and what a step is sure to gain.
#pragma once

#include "solver.h"

namespace lotformer::ops::pivot::aten {

/// Constants of a floating point type.
struct Precision {
  double epsilon;          // machine epsilon
  double tiny;             // keeps a logarithm finite when a pivot has received no mass
  double lowest_exponent;  // exp of less is 0 beside a maximum of 1; results that underflow cost 5-8 times as
                           // much on a CPU
  double jitter;           // added to the diagonal of a matrix scaled to unit diagonal
  double least_damping;    // smallest 1 - theta that still has a meaning
  double dual_noise;       // smaller differences of the dual are rounding noise
};
const Precision& precision_of(const at::Tensor& x);

/// log b: what log c has to become. kappa [P, 1] finite or undefined.
at::Tensor log_target(const at::Tensor& sigma, const at::Tensor& potentials, const at::Tensor& kappa);

/// -(1/kappa) log sum_j sigma_j exp(-kappa h_j) and its limit sigma . h [P], float64.
at::Tensor mass_term(const at::Tensor& sigma, const at::Tensor& potentials, const at::Tensor& kappa);

/// What a Sinkhorn step x = (log b - log c) / (1 + kappa) is sure to add to the dual:
/// -((1 + kappa) / kappa) log M with M = sum_j b_j exp(-kappa x_j) = sum_j c_j exp(x_j), because the first
/// term of the dual gains -(1/kappa) log M and the second at least -log M (Jensen). kappa -> 0: KL(sigma ||
/// c).
at::Tensor sure_gain(const at::Tensor& sigma, const at::Tensor& log_b, const at::Tensor& log_ratio,
                     const at::Tensor& kappa);

struct Pass {
  at::Tensor marginal;  // c [P, r]
  at::Tensor gram;      // G [P, r, r]
  at::Tensor dual;      // D [P], float64: steps near the solution change it by little
  at::Tensor residual;  // [P]
};
Pass evaluate(const at::Tensor& logits, const at::Tensor& potentials, const TokenMarginal& tokens,
              const at::Tensor& sigma, const at::Tensor& kappa);

}  // namespace lotformer::ops::pivot::aten
