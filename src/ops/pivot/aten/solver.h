// SPDX-License-Identifier: MIT
// The transport problem between n tokens and r pivots, solved for the r potentials of the pivots.
//
// With token marginal a (1/n on real tokens, or masses of their own that sum to 1), pivot marginal sigma and
// logits A = scores / epsilon, the token potential is eliminated exactly and one r-vector h (potential /
// epsilon, defined up to a constant) remains:
//
//   p_ij = exp(A_ij + h_j) / sum_l exp(A_il + h_l)      plan a_i p_ij: the token marginal holds by
//                                                       construction
//   c_j(h) = sum_i a_i p_ij                             solve c(h) = sigma
//   D(h) = sigma.h - sum_i a_i logsumexp_j(A_ij + h_j)  concave, gradient sigma - c, Hessian -(diag(c) - G)
//   G_jl = sum_i a_i p_ij p_il
//
// One *pass* evaluates p over all tokens and returns c, D and G; it does the work of two Sinkhorn
// half-iterations. The solver is a damped Newton method on log(sigma/c) with an accept test and a Sinkhorn
// step to fall back on. Every problem stops on its own residual |c - sigma|_1 and keeps its own damping, so
// no result depends on what else is in the batch.
//
// A problem that runs out of passes shall not be worse off than under as many Sinkhorn passes from h = 0. Two
// rules see to it: the point with the smallest residual of all passes is handed out; and where rejected
// Newton trials do not pay for themselves (fewer than 4 passes, or fewer than 16 with fewer than 8 r tokens)
// all steps are Sinkhorn steps. An observation, not a theorem: no violation in 24,000 small problems, nor in
// the families of the tests.
//
// Relaxed pivot marginals (unbalanced transport, Chizat et al. 2018): the constraint c = sigma becomes a
// penalty rho KL(c || sigma). With kappa = epsilon / rho
//
//   log c_j(h) + kappa h_j = log sigma_j        no free constant for kappa > 0; kappa = 0 is the constraint
//   D(h) = -(1/kappa) log sum_j sigma_j exp(-kappa h_j) - sum_i a_i logsumexp_j(A_ij + h_j)
//
// This D is the dual maximised over the constant in h (Sejourne et al. 2022), so that a constant added to h
// changes neither D nor c nor the target b = sigma exp(-kappa h) / sum; its gradient is b - c and tends to
// that of the constraint for kappa -> 0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "lotformer/ops/pivot.h"

namespace lotformer::ops {

/// Token marginals a of P problems.
struct TokenMarginal {
  /// [P, 1, N], 1 at real tokens and 0 at padding, in the dtype of the logits; undefined:
  /// all real.
  at::Tensor real;
  /// [P, 1], 1 / number of real tokens.
  at::Tensor share;
  /// [P, 1, N], sums 1, 0 at padding; undefined: a_i = share on real tokens.
  at::Tensor masses = {};

  /// a, [P, 1, N] or what broadcasts to it.
  at::Tensor a() const;
  /// sum_i a_i x_i over the last axis of x [P, r, N] -> [P, r]; x is zero at padding.
  at::Tensor mean(const at::Tensor& x) const;
  /// sum_i a_i x_i y_i^T of x [P, r, N] and y [P, N, D] -> [P, r, D]; x is zero at padding.
  at::Tensor mean_product(const at::Tensor& x, const at::Tensor& y) const;
  /// [P], sum_i a_i^2: 1 / n where all count alike, 1 where one token has everything.
  at::Tensor concentration() const;
};

struct PivotSolution {
  /// H [P, r]; mean zero, with kappa > 0 the solution of the equation itself.
  at::Tensor potentials;
  /// C at h [P, r].
  at::Tensor marginal;
  /// G at h [P, r, r].
  at::Tensor gram;
  /// |c - sigma|_1 [P]; relaxed |c - b|_1.
  at::Tensor residual;
  /// int64 [P].
  at::Tensor passes;
  /// Most passes of any problem.
  int64_t longest = 0;
  /// Sum of passes over the problems.
  int64_t problem_passes = 0;
  /// Problems that ended above the tolerance.
  int64_t capped = 0;
};

/// p [P, r, N] at potentials h [P, r]; zero at padding. Every user of a solution evaluates p here, with the
/// arithmetic of the solver.
at::Tensor pivot_probabilities(const at::Tensor& logits, const at::Tensor& potentials,
                               const TokenMarginal& tokens);

/// Solves P problems: logits [P, r, N], sigma [P, r] with sums 1; float32 or float64, any device; one host
/// synchronisation a pass. Not differentiable. A problem with non-finite logits stops at once with a NaN
/// residual and disturbs no other. A residual that rounding keeps above the tolerance ends the problem too
/// (two trials in a row without progress at the floor of the precision).
/// `kappa` [P], >= 0, or undefined for zeros. Infinity: the marginal is not held at all, h = 0 and the first
/// pass is the last.
PivotSolution solve_pivot_potentials(const at::Tensor& logits, const TokenMarginal& tokens,
                                     const at::Tensor& sigma, const PivotSolverOptions& options,
                                     const at::Tensor& kappa = {});

/// Solves ((1 + kappa) diag(c) - theta G) x = rhs for x [P, r]; theta [P, 1] or undefined for 1, kappa [P, 1]
/// finite or undefined for 0. The constant vector spans the null space at theta = 1, kappa = 0 and is an
/// eigenvector in any case, so rhs is projected first and x is determined up to a constant: mean zero, with
/// kappa defined c . x = 0. c [P, r], G [P, r, r]. A problem whose matrix is not numerically positive
/// definite (for instance when every p_i is one-hot) is marked false in `solved` [P] and holds arbitrary
/// numbers.
at::Tensor solve_pivot_system(const at::Tensor& marginal, const at::Tensor& gram, const at::Tensor& rhs,
                              const at::Tensor& theta, at::Tensor& solved, const at::Tensor& kappa = {});

/// Rounding matrix R [P, r, r] of a solution: p R has pivot marginal exactly sigma and rows that still sum to
/// 1, entries >= 0. R_lj = s_l [l = j] + (1 - s_l) f_j / F, s = min(1, sigma/c), f = max(sigma - c, 0), F =
/// sum f; the identity where c = sigma.
at::Tensor rounding_matrix(const at::Tensor& marginal, const at::Tensor& sigma);

}  // namespace lotformer::ops
