// SPDX-License-Identifier: MIT
// LOTFormer attention: two entropic transport problems (queries -> pivots, pivots -> keys) glued into a
// doubly-stochastic map of rank r.
#pragma once

#include <optional>
#include <vector>

#include "lotformer/attention/attention.h"
#include "lotformer/attention/capabilities/adaptive_rank.h"
#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/ops/pivot.h"

namespace lotformer {

struct LotformerOptions final : Options {
  std::string mode = "exact";            // reference | truncated | exact
  int64_t pivots = 32;                   // r
  double epsilon = 0.1;                  // entropic regularisation
  int64_t half_iterations = 50;          // T; reference and truncated
  double tolerance = 1e-4;               // exact: |c - sigma|_1 at which a problem stops, in training
  double eval_tolerance = 1e-6;          // exact: the same in evaluation
  int64_t max_passes = 32;               // exact: passes over the tokens before rounding takes over
  std::string masses = "uniform";        // uniform | learned
  std::string pivot_init = "0.02";       // 0.02 (normal, as published) | unit_score
  std::string token_masses = "uniform";  // uniform | learned, or QUERY/KEY: masses of the tokens
  double token_mass_spread = 0;          // standard deviation of the logits of learned masses at the start
  std::string core = "auto";             // auto | aten | cpu | cuda
  std::string marginals = "both";        // both | query | key | none: sides whose pivot marginal is held
  std::string relaxation = "inf";        // rho, or QUERY/KEY: held by a penalty rho KL instead; inf: exactly
  bool relaxation_learned = false;       // rho per head and side, from there on learned
  std::string free_keys = "tokens";      // tokens | pivots: what the key side does without its marginal
  std::string qk_norm = "none";          // none | l2
  struct AdaptiveRank {
    int64_t every = 0;     // steps between surveys; 0: the rank stays
    int64_t min = 2;       // bounds of the rank
    int64_t max = 64;      // the same
    double budget = 0.05;  // change of the map that the merges of one survey may cause, of its Frobenius norm
  } adaptive_rank;
  void visit(FieldVisitor& visitor) override;
  std::vector<Conflict> conflicts() const override;
  /// "lotformer" for both marginals held exactly; else "lotformer-query", "-key", "-none". "-weighted" behind
  /// where the keys have learned masses ("-weighted-queries": the queries, "-weighted-both"), "-relaxed"
  /// where a penalty holds.
  std::string record_name(const std::string& kind) const override;

  bool holds_queries() const { return marginals == "both" || marginals == "query"; }
  bool holds_keys() const { return marginals == "both" || marginals == "key"; }
  /// The key side is free and each pivot takes a softmax over tokens: only the ATen path computes that.
  bool keys_by_pivot() const { return !holds_keys() && free_keys == "tokens"; }
  /// rho of each side, positive, infinity: exact; nothing when `relaxation` cannot be read.
  struct Relaxation {
    double query, key;
  };
  std::optional<Relaxation> parse_relaxation() const;
  /// Sides whose tokens have learned masses; nothing when `token_masses` cannot be read.
  struct WeightedSides {
    bool query, key;
  };
  std::optional<WeightedSides> parse_token_masses() const;
};

/// Parameters: `pivots` [H, r, D]; `pivot_logits` [H, r] when masses are learned (sigma = softmax over r), a
/// buffer of that name when they are not but the rank adapts (merged pivots add their masses);
/// `log_relaxation` [S, H] of the S sides that are held (query first) when the relaxation is learned (rho =
/// exp); `query_mass_vector` and `key_mass_vector` [H, D] where the tokens of that side have learned masses:
/// a = softmax over the real tokens of x . vector / (epsilon sqrt(D)).
class LotformerAttentionImpl final : public AttentionImpl,
                                     public HasPlans,
                                     public HasSolver,
                                     public AdaptiveRank {
 public:
  LotformerAttentionImpl(const LotformerOptions& options, const AttentionShape& shape);
  bool padding_takes_part() const override { return options_.mode.starts_with("reference"); }

  /// And: exact effective rank from the two Gram matrices, sharpness of the scores, and in mode `exact` what
  /// the solver did.
  Diagnostics diagnose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) override;
  DeviceDiagnostics solver_record(const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& lengths) override;
  SolverCount solver_count() const override;
  TransportPlans transport_plans(const at::Tensor& q, const at::Tensor& k,
                                 const at::Tensor& lengths) const override;
  // Adaptive rank: merges pivots that the map hardly needs apart, or splits the one whose mass is worth most
  // (docs/lotformer.md).
  bool survey_due(int64_t step) const override;
  void begin_survey() override;
  void survey_batch(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) override;
  Survey end_survey(uint64_t seed) override;
  void match_shapes(const std::function<const at::Tensor*(const std::string& name)>& stored) override;

  /// The two transport plans of the mode, [B, H, r, N] each, in the dtype of q (float32 or float64).
  ops::PivotPlans plans(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) const;
  /// Of the latest forward call in mode `exact`; empty before it and in other modes.
  const ops::PivotSolveStats& last_stats() const { return stats_; }

  at::Tensor pivots;                              // [H, r, D]
  at::Tensor pivot_logits;                        // [H, r] or undefined
  at::Tensor log_relaxation;                      // [S, H] or undefined
  at::Tensor query_mass_vector, key_mass_vector;  // [H, D] or undefined

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& lengths) override;
  /// What scores are made of: tokens and pivots in one dtype, normalised where qk_norm says so.
  struct Scored {
    at::Tensor q, k, z;
  };
  Scored scored(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) const;
  ops::PivotMarginals marginals(const Scored& x, const at::Tensor& lengths) const;
  ops::TokenMasses token_masses(const Scored& x, const at::Tensor& lengths) const;
  ops::PivotCall call_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths) const;
  at::Tensor mass_logits(const at::Tensor& like) const;
  ops::PivotSolverOptions solver_options() const;

  LotformerOptions options_;
  ops::PivotSolveStats stats_;
  /// Of a survey; empty outside one.
  struct Surveyed {
    // [H, r]: what stands in for the mass logits, to have a gradient of their own.
    at::Tensor logits;
    // [1, H, r, r] float64 of each example seen.
    std::vector<at::Tensor> query_grams, key_grams;
  } surveyed_;
};

}  // namespace lotformer
