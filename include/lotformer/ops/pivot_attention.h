// SPDX-License-Identifier: MIT
// Attention through r pivots: an entropic transport problem between queries and pivots (plan a_i p_ij), one
// between keys and pivots (plan a_k p'_kj), glued by 1/sigma into an N x N map M = n P diag(1/sigma) P'^T
// that is never formed.
//
// Common to all functions below, plain ATen, float32 and float64, any device:
//   q, k, v : [B, H, N, D]; pivots [H, r, D]; lengths int64 [B] or undefined (every token is real)
//   scores  : D^(-1/2) times the inner product of token and pivot
//   returns : [B, H, N, D]
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

struct PivotSolverOptions {
  /// Residual |c - sigma|_1 at which a problem stops.
  double tolerance = 1e-4;
  /// Passes over all tokens that a problem may use, the first evaluation included; at least 1.
  int64_t max_passes = 32;
};

/// What the solver did in one call; both sides count, so there are 2 B H problems. Filling it costs no extra
/// synchronisation: a core that works without the host leaves its counts on the device.
struct PivotSolveStats {
  int64_t problems = 0;
  int64_t problem_passes = 0;  ///< sum over the problems
  int64_t longest = 0;         ///< most passes of any problem
  int64_t capped = 0;          ///< problems that ended above the tolerance
  at::Tensor residual;         ///< [2 B H], on the device of the call
  at::Tensor passes;  ///< [2 B H] there, integers; defined where the three counts are still to be made
  PivotSolverOptions options;  ///< of the call, beside `passes`

  /// With the three counts; synchronises with the device where they are still to be made.
  PivotSolveStats counted() const;
  double mean_passes() const { return problems ? static_cast<double>(problem_passes) / problems : 0; }
  /// Synchronises with the device; 0 when there was no problem.
  double max_residual() const;
};

/// Masses of the tokens of both sides, [B, H, N], >= 0, 0 at padding, sums 1 over the real tokens of a sequence, differentiable.
/// Undefined: every real token has 1 / n. A gradient with respect to masses is defined up to a constant a sequence, because their sum
/// does not move; a softmax over the real tokens, from which they usually come, drops it.
struct TokenMasses {
  at::Tensor query, key;
  bool uniform() const { return !query.defined() && !key.defined(); }
};

/// The marginals of the two problems: masses of the tokens, and how the pivot marginals are held. kappa = epsilon / rho [H], >= 0,
/// differentiable: 0 is the constraint c = sigma, a finite number the penalty rho KL(c || sigma), infinity no marginal (h = 0: tokens choose
/// among pivots by a softmax). Undefined: 0. Rows of the map sum to 1 in any case.
struct PivotMarginals {
  at::Tensor query_kappa, key_kappa;
  /// Key side without a marginal of the other kind: every pivot takes its weights from a softmax over tokens. The pivot marginal is
  /// then sigma and that of the tokens is free; the key side has no potential and key_kappa is not looked at.
  bool keys_by_pivot = false;
  /// Measures with weights: the plans are couplings of them. Rows of the map sum to 1, column k to n times the mass of key k (with masses b
  /// of the queries: sum_i b_i map_ik is the mass of key k). The key side has none where keys_by_pivot.
  TokenMasses tokens = {};
  bool all_held() const { return !query_kappa.defined() && !key_kappa.defined() && !keys_by_pivot; }
};

/// The converged map. `sigma` [H, r], rows sum to 1, differentiable like q, k, v and pivots; gradient by
/// implicit differentiation of the converged problems (Luise et al. 2018; formulas in docs/lotformer.md),
/// nothing of size N x r is kept for it. Rows and columns of the map over real tokens sum to 1
/// (with masses of the tokens: see PivotMarginals) whatever the residual: what the solver leaves over is rounded away (Altschuler et al. 2017, algorithm 2, here without a
/// further pass); the gradient takes the rounding as constant. A relaxed side is not rounded: its part of the
/// columns is what the penalty leaves. Padded rows are zero. Work: passes + 1 sweeps of N r a side forward, 2
/// backward.
at::Tensor pivot_attention_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                                 double epsilon, const PivotSolverOptions& options,
                                 PivotSolveStats* stats = nullptr, const PivotMarginals& marginals = {});

/// T half-iterations a side (queries: tokens first; keys: pivots first), gradient through all of them by
/// autograd. `log_sigma` [H, r]. Padded rows are zero. Keeps about 2 T matrices N x r a head for the backward
/// pass.
at::Tensor pivot_attention_truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, const at::Tensor& log_sigma,
                                     const at::Tensor& lengths, double epsilon, int64_t half_iterations);

/// The published arithmetic: scores clamped to +-50, token marginals 1/N with padding counted as tokens,
/// pivot marginals 1/r, no 1/sigma, so that rows of the map sum to about r^(-2). Padded rows are rows like
/// any other.
at::Tensor pivot_attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& pivots, double epsilon, int64_t half_iterations);

/// The two transport plans, each of total mass 1: query [B, H, r, N] from queries to pivots, key [B, H, r, N]
/// from pivots to keys; zero at padding (and for a sequence without a real token). For diagnostics and tests:
/// the functions above never form the exact ones.
struct PivotPlans {
  at::Tensor query, key;
};

PivotPlans pivot_plans_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& pivots,
                             const at::Tensor& sigma, const at::Tensor& lengths, double epsilon,
                             const PivotSolverOptions& options, const PivotMarginals& marginals = {});
PivotPlans pivot_plans_truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& pivots,
                                 const at::Tensor& log_sigma, const at::Tensor& lengths, double epsilon,
                                 int64_t half_iterations);
PivotPlans pivot_plans_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& pivots,
                                 double epsilon, int64_t half_iterations);

}  // namespace lotformer::ops
