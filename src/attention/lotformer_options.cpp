// SPDX-License-Identifier: MIT
// Options of LOTFormer: keys, what does not go together, what records call it.
#include <charconv>
#include <cmath>
#include <limits>

#include "lotformer/attention/lotformer.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

/// A positive number or "inf".
std::optional<double> parse_rho(std::string_view text) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value <= 0)
    return std::nullopt;
  return value;
}

/// What makes another map of it.
void visit_variants(LotformerOptions& options, FieldVisitor& visitor) {
  visitor.field(
      {.key = "token_masses",
       .help = "masses of the tokens, the marginals that the map keeps: uniform, or learned as a softmax "
               "over the tokens of a linear map of the token; QUERY/KEY gives each side its own, as "
               "uniform/learned; recorded under a name of its own (mode exact)"},
      options.token_masses);
  visitor.field(
      {.key = "token_mass_spread",
       .help = "learned token_masses: standard deviation of their logits at the start, roughly; 0: the "
               "first map is that of uniform masses",
       .range = {.low = 0, .high = 100}},
      options.token_mass_spread);
  visitor.field(
      {.key = "marginals",
       .help = "sides whose pivot marginal is held; only both is LOTFormer, the others are recorded under "
               "names of their own (mode exact)",
       .choices = {"both", "query", "key", "none"}},
      options.marginals);
  visitor.field(
      {.key = "relaxation",
       .help = "rho > 0 of the penalty rho KL(marginal || masses) that holds a marginal, in the unit of the "
               "scores; QUERY/KEY gives each side its own; inf: held exactly (mode exact)"},
      options.relaxation);
  visitor.field({.key = "relaxation_learned",
                 .help = "rho is learned for each head and side, beginning at `relaxation`"},
                options.relaxation_learned);
  visitor.field(
      {.key = "free_keys",
       .help = "marginals query and none, key side: tokens: each pivot takes a softmax over tokens; pivots: "
               "each token takes a softmax over pivots, the limit of relaxation 0",
       .choices = {"tokens", "pivots"}},
      options.free_keys);
  visitor.field(
      {.key = "qk_norm",
       .help = "l2: scores are cosines of token and pivot, which bounds them and so the solver's passes",
       .choices = {"none", "l2"}},
      options.qk_norm);
}

void visit_adaptive_rank(LotformerOptions::AdaptiveRank& rule, FieldVisitor& visitor) {
  visitor.begin_section("adaptive_rank");
  visitor.field(
      {.key = "every",
       .help = "steps between surveys that merge or split pivots; 0: the rank stays (mode exact, both "
               "marginals exact)",
       .range = {.low = 0, .high = 1e9}},
      rule.every);
  visitor.field(
      {.key = "min", .help = "pivots that are never merged away", .range = {.low = 1, .high = 1024}},
      rule.min);
  visitor.field({.key = "max", .help = "pivots that splits may reach", .range = {.low = 1, .high = 1024}},
                rule.max);
  visitor.field(
      {.key = "budget",
       .help = "change of the map, relative to its Frobenius norm, that the merges of one survey may cause",
       .range = {.low = 0, .high = 10}},
      rule.budget);
  visitor.end_section();
}

}  // namespace

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
  visit_variants(*this, visitor);
  visit_adaptive_rank(adaptive_rank, visitor);
  visitor.field(
      {.key = "core",
       .help = "implementation: cpu, cuda: the code written for that device; aten: plain tensor operations; "
               "auto: mode exact through the core where the device has one",
       .choices = {"auto", "aten", "cpu", "cuda"}},
      core);
}

std::vector<Conflict> LotformerOptions::conflicts() const {
  std::vector<Conflict> found;
  const auto forbid = [&](bool holds, std::vector<std::string> keys, const std::string& message) {
    if (holds) found.push_back({std::move(keys), message});
  };
  forbid(mode == "reference" && masses == "learned", {"masses", "mode"},
         "masses learned needs mode truncated or exact; mode reference has uniform masses");
  forbid(
      mode == "reference" && qk_norm != "none", {"qk_norm", "mode"},
      concat("qk_norm ", qk_norm, " needs mode truncated or exact; mode reference has the published scores"));
  forbid(mode != "exact" && marginals != "both", {"marginals", "mode"},
         concat("marginals ", marginals, " needs mode exact; mode ", mode, " balances both sides"));
  forbid(mode != "exact" && relaxation != "inf", {"relaxation", "mode"},
         concat("relaxation ", quoted(relaxation), " needs mode exact; mode ", mode, " has exact marginals"));
  forbid(marginals == "none" && masses == "learned", {"masses", "marginals"},
         "masses learned needs a side whose marginal is held, not marginals none");
  forbid(free_keys != "tokens" && holds_keys(), {"free_keys", "marginals"},
         concat("free_keys ", free_keys, " needs marginals query or none, not ", marginals));
  forbid((core == "cpu" || core == "cuda") && keys_by_pivot(), {"core", "free_keys"},
         concat("core ", core, " needs free_keys pivots where the key side is not held; core aten has both"));
  if (adaptive_rank.every > 0) {
    forbid(mode != "exact" || record_name("") != "",
           {"adaptive_rank.every", "mode", "marginals", "relaxation", "token_masses"},
           "adaptive_rank needs mode exact with both marginals held exactly and uniform token_masses; the "
           "error of a merge is known "
           "only there");
    forbid(pivots < adaptive_rank.min || pivots > adaptive_rank.max,
           {"adaptive_rank.max", "adaptive_rank.min", "pivots"},
           concat("adaptive_rank from ", adaptive_rank.min, " to ", adaptive_rank.max,
                  " does not hold pivots ", pivots, ", where training begins"));
  }
  const auto weighted = parse_token_masses();
  if (!weighted) {
    found.push_back(
        {{"token_masses"},
         concat("expected uniform, learned, or two of them as QUERY/KEY, got ", quoted(token_masses))});
    return found;
  }
  forbid(mode != "exact" && (weighted->query || weighted->key), {"token_masses", "mode"},
         concat("token_masses ", quoted(token_masses), " needs mode exact, not ", mode));
  forbid(core == "cuda" && (weighted->query || weighted->key), {"core", "token_masses"},
         concat("core cuda has no token_masses ", quoted(token_masses), " yet; core aten and auto have"));
  forbid(weighted->key && keys_by_pivot(), {"token_masses", "marginals", "free_keys"},
         "learned masses of the keys need a key side whose tokens have a marginal: marginals both or key, or "
         "free_keys pivots");
  const auto rho = parse_relaxation();
  if (!rho) {
    found.push_back(
        {{"relaxation"},
         concat("expected a positive number, inf, or two of them as QUERY/KEY, got ", quoted(relaxation))});
    return found;
  }
  const bool queries = holds_queries() && std::isfinite(rho->query),
             keys = holds_keys() && std::isfinite(rho->key);
  forbid(
      relaxation != "inf" && marginals == "none", {"relaxation", "marginals"},
      concat("relaxation ", quoted(relaxation), " needs a side whose marginal is held, not marginals none"));
  forbid(relaxation_learned && (queries != holds_queries() || keys != holds_keys() || marginals == "none"),
         {"relaxation_learned", "relaxation", "marginals"},
         "relaxation_learned needs a finite relaxation of every side that is held, to begin with");
  return found;
}

std::optional<LotformerOptions::Relaxation> LotformerOptions::parse_relaxation() const {
  const std::string_view text = relaxation;
  const size_t slash = text.find('/');
  const auto query = parse_rho(text.substr(0, slash));
  const auto key = slash == std::string_view::npos ? query : parse_rho(text.substr(slash + 1));
  if (!query || !key) return std::nullopt;
  return Relaxation{*query, *key};
}

std::optional<LotformerOptions::WeightedSides> LotformerOptions::parse_token_masses() const {
  const auto learned = [](std::string_view text) -> std::optional<bool> {
    if (text == "learned") return true;
    return text == "uniform" ? std::optional(false) : std::nullopt;
  };
  const std::string_view text = token_masses;
  const size_t slash = text.find('/');
  const auto query = learned(text.substr(0, slash));
  const auto key = slash == std::string_view::npos ? query : learned(text.substr(slash + 1));
  if (!query || !key) return std::nullopt;
  return WeightedSides{*query, *key};
}

std::string LotformerOptions::record_name(const std::string& kind) const {
  std::string name = kind;
  if (marginals != "both") name += "-" + marginals;
  const WeightedSides weighted = parse_token_masses().value_or(WeightedSides{false, false});
  if (weighted.query || weighted.key) name += "-weighted";
  if (weighted.query) name += weighted.key ? "-both" : "-queries";
  const auto rho = parse_relaxation();
  const bool relaxed =
      rho && ((holds_queries() && std::isfinite(rho->query)) || (holds_keys() && std::isfinite(rho->key)));
  return relaxed ? name + "-relaxed" : name;
}

}  // namespace lotformer
