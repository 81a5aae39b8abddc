// SPDX-License-Identifier: MIT
#include "lotformer/attention/sinkformer.h"

#include <ATen/ops/scalar_tensor.h>

#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"

namespace lotformer {

void SinkformerOptions::visit(FieldVisitor& visitor) {
  visitor.field(
      {.key = "mode",
       .help = "truncated: T half-iterations over real tokens; exact: solved to tolerance; reference: "
               "T over all tokens; reference_nlp: the published text experiments, gradient included",
       .choices = {"reference", "reference_nlp", "truncated", "exact"}},
      mode);
  visitor.field({.key = "epsilon",
                 .help = "entropic regularisation, in the unit of the scores",
                 .range = {.low = 0, .low_open = true}},
                epsilon);
  visitor.field(
      {.key = "half_iterations",
       .help = "half-iterations T, rows first (odd: exact row sums; 1: softmax); all modes but exact",
       .range = {.low = 1, .high = 100000}},
      half_iterations);
  visitor.field({.key = "tolerance",
                 .help = "mode exact, training: mean |column sum - 1| at which a problem is solved",
                 .range = {.low = 0, .high = 2, .low_open = true}},
                tolerance);
  visitor.field({.key = "eval_tolerance",
                 .help = "the same in evaluation",
                 .range = {.low = 0, .high = 2, .low_open = true}},
                eval_tolerance);
  visitor.field({.key = "max_half_iterations",
                 .help = "mode exact: half-iterations after which a problem is left as it is",
                 .range = {.low = 3, .high = 100000}},
                max_half_iterations);
  visitor.field(
      {.key = "gradient",
       .help = "unrolled: through all half-iterations; implicit: of the converged map (mode exact only); "
               "auto: implicit in mode exact, detached potentials in reference_nlp, else unrolled",
       .choices = {"auto", "unrolled", "implicit"}},
      gradient);
}

std::vector<Conflict> SinkformerOptions::conflicts() const {
  std::vector<Conflict> found;
  if (gradient == "implicit" && mode != "exact") {
    found.push_back({{"gradient", "mode"},
                     concat("gradient implicit needs mode exact; mode ", mode, " has not converged")});
  }
  if (gradient == "unrolled" && mode == "reference_nlp") {
    found.push_back(
        {{"gradient", "mode"}, "mode reference_nlp has its published gradient; set gradient to auto"});
  }
  return found;
}

SinkformerAttentionImpl::SinkformerAttentionImpl(const SinkformerOptions& options,
                                                 const AttentionShape& /*shape*/)
    : AttentionImpl("sinkformer"), options_(options) {
  require_no_conflict(options, "model.attention");
}

ops::SinkhornOptions SinkformerAttentionImpl::solver_options() const {
  ops::SinkhornOptions solver;
  solver.epsilon = options_.epsilon;
  solver.until_converged = options_.mode == "exact";
  solver.half_iterations = options_.half_iterations;
  solver.tolerance = is_training() ? options_.tolerance : options_.eval_tolerance;
  solver.max_half_iterations = options_.max_half_iterations;
  if (options_.mode == "exact" && options_.gradient != "unrolled") {
    solver.gradient = ops::SinkhornGradient::implicit;
  } else if (options_.mode == "reference_nlp") {
    solver.gradient = ops::SinkhornGradient::detached;
    solver.padded_queries = true;
  }
  return solver;
}

at::Tensor SinkformerAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                           const at::Tensor& lengths) {
  at::Tensor keys = k;
  // As published every score of a sequence without a real token is the same constant.
  if (options_.mode == "reference_nlp" && lengths.defined()) {
    keys = keys.masked_fill(lengths.le(0).reshape({-1, 1, 1, 1}), 0);
  }
  return ops::sinkhorn_attention(q, keys, v, options_.mode == "reference" ? at::Tensor() : lengths,
                                 solver_options(), &stats_);
}

Diagnostics SinkformerAttentionImpl::diagnose(const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& lengths) {
  Diagnostics found = probe_attention(*this, q, k, lengths);
  if (found.empty()) return found;
  const Diagnostics solver = read_numbers(solver_record(q, k, lengths));
  found.insert(found.end(), solver.begin(), solver.end());
  return found;
}

DeviceDiagnostics SinkformerAttentionImpl::solver_record(const at::Tensor&, const at::Tensor&,
                                                         const at::Tensor&) {
  if (options_.mode != "exact") return {};
  const auto number = [](auto value) { return at::scalar_tensor(value, at::kDouble); };
  return {{"half_iterations_mean", number(stats_.mean_half_iterations())},
          {"half_iterations_max", number(stats_.longest)},
          {"capped", number(stats_.capped)},
          {"residual", number(stats_.residual)}};
}

SolverCount SinkformerAttentionImpl::solver_count() const {
  if (options_.mode != "exact" || stats_.problems == 0) return {};
  return {stats_.problems, at::scalar_tensor(stats_.capped, at::kLong),
          at::scalar_tensor(stats_.residual, at::kDouble)};
}

}  // namespace lotformer
