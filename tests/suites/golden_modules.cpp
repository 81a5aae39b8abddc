// SPDX-License-Identifier: MIT
// The modules that the golden cases name: how a case's hyperparameters become options. One row a module.
#include "lotformer/attention/espformer.h"
#include "lotformer/attention/lotformer.h"
#include "lotformer/attention/performer.h"
#include "lotformer/attention/sinkformer.h"
#include "lotformer/attention/softmax.h"
#include "suites/golden.h"

namespace lotformer::test {
namespace {

std::shared_ptr<AttentionImpl> build_softmax(const GoldenCase& golden, const AttentionShape& shape,
                                             at::ScalarType /*type*/) {
  SoftmaxOptions options;
  if (golden.family != "reference" && golden.family != "masked") return nullptr;
  options.mode = golden.family;
  return std::make_shared<SoftmaxAttentionImpl>(options, shape);
}

std::shared_ptr<AttentionImpl> build_lotformer(const GoldenCase& golden, const AttentionShape& shape,
                                               at::ScalarType type, const std::string& core) {
  LotformerOptions options;
  options.core = core;
  options.mode = golden.family;
  options.pivots = golden.parameter<int64_t>("rank");
  options.epsilon = golden.parameter<double>("eps");
  options.masses = golden.has("pivot_logits") ? "learned" : "uniform";
  if (golden.family == "reference" || golden.family == "truncated") {
    options.half_iterations = golden.parameter<int64_t>("half_iterations");
  } else if (golden.family == "exact") {
    options.tolerance = options.eval_tolerance = type == at::kDouble ? 1e-13 : 1e-6;
    options.max_passes = 500;
  } else {
    return nullptr;
  }
  auto module = std::make_shared<LotformerAttentionImpl>(options, shape);
  module->to(type);
  module->pivots.set_data(golden.tensor("pivots").to(type));
  if (module->pivot_logits.defined()) module->pivot_logits.set_data(golden.tensor("pivot_logits").to(type));
  return module;
}

std::shared_ptr<AttentionImpl> build_lotformer_aten(const GoldenCase& golden, const AttentionShape& shape,
                                                    at::ScalarType type) {
  return build_lotformer(golden, shape, type, "aten");
}

std::shared_ptr<AttentionImpl> build_lotformer_cpu(const GoldenCase& golden, const AttentionShape& shape,
                                                   at::ScalarType type) {
  return build_lotformer(golden, shape, type, "cpu");
}

std::shared_ptr<AttentionImpl> build_performer(const GoldenCase& golden, const AttentionShape& shape,
                                               at::ScalarType type) {
  PerformerOptions options;
  if (golden.family != "reference" && golden.family != "favor" && golden.family != "masked") return nullptr;
  options.mode = golden.family;
  options.features = golden.parameter<int64_t>("features");
  auto module = std::make_shared<PerformerAttentionImpl>(options, shape);
  module->to(type);
  module->projection.set_data(golden.tensor("projection").to(type));
  return module;
}

std::shared_ptr<AttentionImpl> build_sinkformer(const GoldenCase& golden, const AttentionShape& shape,
                                                at::ScalarType type) {
  SinkformerOptions options;
  options.mode = golden.family;
  options.epsilon = golden.parameter<double>("eps");
  if (golden.family == "reference" || golden.family == "reference_nlp" || golden.family == "truncated") {
    options.half_iterations = golden.parameter<int64_t>("half_iterations");
  } else if (golden.family == "exact") {
    options.tolerance = options.eval_tolerance = type == at::kDouble ? 1e-13 : 1e-7;
    options.max_half_iterations = 20000;
  } else {
    return nullptr;
  }
  return std::make_shared<SinkformerAttentionImpl>(options, shape);
}

std::shared_ptr<AttentionImpl> build_espformer(const GoldenCase& golden, const AttentionShape& shape,
                                               at::ScalarType /*type*/) {
  EspformerOptions options;
  if (golden.family != "reference" && golden.family != "reference_fill" && golden.family != "masked") {
    return nullptr;
  }
  options.mode = golden.family;
  options.tau = golden.parameter<double>("tau");
  options.inverse_temperature = golden.parameter<double>("inverse_temperature");
  return std::make_shared<EspformerAttentionImpl>(options, shape);
}

}  // namespace

std::vector<GoldenModule> find_golden_modules(const std::string& kind) {
  static const std::vector<GoldenModule> kModules = {
      {"softmax", "", &build_softmax},
      {"performer", "", &build_performer},
      {"sinkformer", "", &build_sinkformer},
      {"espformer", "", &build_espformer},
      {"lotformer", "core aten", &build_lotformer_aten},
      {"lotformer", "core cpu", &build_lotformer_cpu},
  };
  std::vector<GoldenModule> found;
  for (const GoldenModule& module : kModules) {
    if (module.kind == kind) found.push_back(module);
  }
  return found;
}

}  // namespace lotformer::test
