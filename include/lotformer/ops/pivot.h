// SPDX-License-Identifier: MIT
// Attention through r pivots: an entropic transport problem between queries and pivots (plan a_i p_ij), one
// between keys and pivots (plan a_k p'_kj), glued by 1/sigma into an N x N map M = n P diag(1/sigma) P'^T
// that is never formed. Source: LOTFormer, arXiv 2509.23436; formulas of ours in docs/lotformer.md, the code
// in src/ops/pivot (README.md there).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

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
  /// Sum over the problems.
  int64_t problem_passes = 0;
  /// Most passes of any problem.
  int64_t longest = 0;
  /// Problems that ended above the tolerance.
  int64_t capped = 0;
  /// [2 B H], on the device of the call.
  at::Tensor residual;
  /// [2 B H] there, integers; defined where the three counts are still to be made.
  at::Tensor passes;
  /// Of the call, beside `passes`
  PivotSolverOptions options;

  /// With the three counts; synchronises with the device where they are still to be made.
  PivotSolveStats counted() const;
  double mean_passes() const { return problems ? static_cast<double>(problem_passes) / problems : 0; }
  /// Synchronises with the device; 0 when there was no problem.
  double max_residual() const;
};

/// Masses of the tokens of both sides, [B, H, N], >= 0, 0 at padding, sums 1 over the real tokens of a
/// sequence, differentiable. Undefined: every real token has 1 / n. A gradient with respect to masses is
/// defined up to a constant a sequence, because their sum does not move; a softmax over the real tokens, from
/// which they usually come, drops it.
struct TokenMasses {
  at::Tensor query, key;
  bool uniform() const { return !query.defined() && !key.defined(); }
};

/// The marginals of the two problems: masses of the tokens, and how the pivot marginals are held. kappa =
/// epsilon / rho [H], >= 0, differentiable: 0 is the constraint c = sigma, a finite number the penalty rho
/// KL(c || sigma), infinity no marginal (h = 0: tokens choose among pivots by a softmax). Undefined: 0. Rows
/// of the map sum to 1 in any case.
struct PivotMarginals {
  at::Tensor query_kappa, key_kappa;
  /// Key side without a marginal of the other kind: every pivot takes its weights from a softmax over tokens.
  /// The pivot marginal is then sigma and that of the tokens is free; the key side has no potential and
  /// key_kappa is not looked at.
  bool keys_by_pivot = false;
  /// Measures with weights: the plans are couplings of them. Rows of the map sum to 1, column k to n times
  /// the mass of key k (with masses b of the queries: sum_i b_i map_ik is the mass of key k). The key side
  /// has none where keys_by_pivot.
  TokenMasses tokens = {};
  bool all_held() const { return !query_kappa.defined() && !key_kappa.defined() && !keys_by_pivot; }
};

enum class PivotMode {
  /// Solved to a tolerance; gradient by implicit differentiation (Luise et al. 2018).
  exact,
  /// T half-iterations a side (queries: tokens first; keys: pivots first), gradient through all of them.
  truncated,
  /// The published arithmetic: scores clamped to +-50, padding counts as tokens, no 1/sigma: rows sum to
  /// about r^(-2).
  reference,
};

/// Who computes: a device's own core, or plain tensor operations (aten), which serve every call and are the
/// oracle of the tests.
enum class PivotCore { automatic, aten, cpu, cuda };

/// One call. Scores are D^(-1/2) times the inner product of token and pivot. q, k and v are float32, float64
/// or bfloat16, the result has their type; all else is float64 beside float64, else float32.
struct PivotCall {
  /// [B, H, N, D]; pivot_plans() does not look at v.
  at::Tensor q, k, v;
  /// [H, r, D].
  at::Tensor pivots;
  /// sigma [H, r], rows sum to 1; in mode truncated its logarithm; not looked at in mode reference, where it
  /// is 1 / r.
  at::Tensor masses;
  /// int64 [B], or undefined: every token is real. Not looked at in mode reference.
  at::Tensor lengths;
  double epsilon = 0.1;
  PivotMode mode = PivotMode::exact;
  /// Exact.
  PivotSolverOptions solver = {};
  /// T; truncated, reference.
  int64_t half_iterations = 50;
  /// Exact.
  PivotMarginals marginals = {};
  PivotCore core = PivotCore::automatic;
};

/// [B, H, N, D], differentiable with respect to every tensor but lengths; padded rows are zero (mode
/// reference: rows like any other).
///
/// Mode exact: rows and columns of the map over real tokens sum to 1 (with masses of the tokens: see
/// PivotMarginals) whatever the residual, for what the solver leaves over is rounded away (Altschuler et al.
/// 2017, algorithm 2, here without a further pass); the gradient takes the rounding as constant. A relaxed
/// side is not rounded: its part of the columns is what the penalty leaves. Nothing of size N x r is kept for
/// the backward pass. Work: passes + 1 sweeps of N r a side forward, 2 backward.
/// Mode truncated keeps about 2 T matrices N x r a head (aten), or 2 r numbers a half-iteration (a device's
/// core).
///
/// Error(usage) where `call.core` names a core that cannot serve the call, with the reason. `stats`: mode
/// exact; what the solver did.
at::Tensor pivot_attention(const PivotCall& call, PivotSolveStats* stats = nullptr);

struct CoreChoice {
  /// Never automatic.
  PivotCore core;
  /// Why the core that is named, or with automatic the device's own, does not serve the call; empty: it does.
  std::string refusal;
};
/// Which core takes the call. Looks at shapes, types and devices only. automatic: the device's own core in
/// mode exact where it serves the call, else aten.
CoreChoice choose_core(const PivotCall& call);

/// The two transport plans, each of total mass 1: query [B, H, r, N] from queries to pivots, key [B, H, r, N]
/// from pivots to keys; zero at padding (and for a sequence without a real token). By plain tensor
/// operations, whatever `call.core` says, for diagnostics and tests: pivot_attention() never forms the exact
/// ones.
struct PivotPlans {
  at::Tensor query, key;
};
PivotPlans pivot_plans(const PivotCall& call);

}  // namespace lotformer::ops
