// SPDX-License-Identifier: MIT
#include "lotformer/attention/attention.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>
#include <vector>

#include "apps/doctor/checks.h"
#include "lotformer/config/load.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::doctor {
namespace {

constexpr int64_t kBatch = 2, kHeads = 2, kTokens = 96, kDim = 32;
// Float32 beside float64: rounding, and what solvers that stop at a tolerance make of it (up to 2e-5 where
// this was written). What is broken is wrong by far more.
constexpr double kAllowed = 1e-3;

/// Whether a module has several implementations.
class HasCore final : public FieldVisitor {
 public:
  void field(const FieldInfo&, bool&) override {}
  void field(const FieldInfo&, int64_t&) override {}
  void field(const FieldInfo&, double&) override {}
  void field(const FieldInfo& info, std::string&) override { found = found || info.key == "core"; }
  bool found = false;
};

struct Case {
  std::string kind, core;  // core "": the module has one implementation
  c10::Device device;
};

/// Output and gradients of one forward and backward: y, dq, dk, dv, those of the parameters; in float64 on
/// the CPU.
std::vector<at::Tensor> results_of(const Case& c, c10::ScalarType type) {
  ConfigRequest request{"", {"model.attention.kind=" + c.kind}};
  if (!c.core.empty()) request.assignments.push_back("model.attention.core=" + c.core);
  const auto options = load_config(request, {attention_kinds(), {}}).attention;
  torch::manual_seed(7);
  const auto module = find_attention(c.kind).build(*options, {kHeads, kDim, 0});
  module->to(c.device);
  module->to(type);
  module->eval();  // nothing is drawn in between
  std::vector<at::Tensor> inputs;
  torch::manual_seed(11);
  for (int i = 0; i < 4; ++i)
    inputs.push_back(at::randn({kBatch, kHeads, kTokens, kDim}).to(c.device, type).requires_grad_(i < 3));
  const at::Tensor lengths = at::tensor({kTokens, 2 * kTokens / 3}, at::kLong).to(c.device);
  const at::Tensor output = module->forward(inputs[0], inputs[1], inputs[2], lengths);
  if (output.requires_grad()) output.backward(inputs[3]);
  std::vector<at::Tensor> results = {output.detach()};
  for (int i = 0; i < 3; ++i) results.push_back(inputs[static_cast<size_t>(i)].grad());
  for (const at::Tensor& parameter : module->parameters()) results.push_back(parameter.grad());
  for (at::Tensor& result : results) {
    if (result.defined()) result = result.to(at::kCPU, at::kDouble);
  }
  return results;
}

/// The largest difference of a tensor, relative to the largest number of the one it should be.
double deviation(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& wanted) {
  double largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].defined() || wanted[i].numel() == 0) continue;
    if (!found[i].defined()) return INFINITY;
    const double size = std::max(wanted[i].abs().max().item<double>(), 1e-6);
    const double difference = (found[i] - wanted[i]).abs().max().item<double>() / size;
    largest = difference <= largest ? largest : difference;  // NaN counts
  }
  return largest;
}

std::vector<Case> cases_of(const AttentionSpec& spec, c10::Device device) {
  HasCore look;
  spec.options()->visit(look);
  const c10::Device cpu(c10::kCPU);
  std::vector<Case> cases;
  if (look.found) {
    cases = {{spec.kind, "aten", cpu}, {spec.kind, "cpu", cpu}};
    if (device.is_cuda()) {
      cases.push_back({spec.kind, "aten", device});
      cases.push_back({spec.kind, "cuda", device});
    }
  } else {
    cases.push_back({spec.kind, "", cpu});
    if (device.is_cuda()) cases.push_back({spec.kind, "", device});
  }
  return cases;
}

std::string place_of(const Case& c) {
  return concat(c.core.empty() ? "" : "core " + c.core + ", ",
                c.device.is_cuda() ? "on the GPU" : "on the CPU");
}

/// A broken core must not hide the others.
void check_case(Report& report, const Case& c, const std::vector<at::Tensor>& wanted) {
  constexpr const char* kRemedy =
      "please report this line; model.attention.core=aten does without, where there is one";
  const std::string name = concat(c.kind, " (", place_of(c), ")");
  try {
    const auto start = std::chrono::steady_clock::now();
    const auto found = results_of(c, at::kFloat);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double off = deviation(found, wanted);
    std::ostringstream text;
    text.precision(2);
    text << name << ": forward and backward differ from float64 by " << off << ", "
         << static_cast<int64_t>(1000 * seconds) << " ms";
    off <= kAllowed
        ? report.ok("attention", text.str())
        : report.problem("attention", concat(text.str(), "; at most ", kAllowed, " is rounding"), kRemedy);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    report.problem("attention", concat(name, ": ", what.substr(0, what.find('\n'))), kRemedy);
  }
}

}  // namespace

void check_attention(Report& report, c10::Device device) {
  for (const AttentionSpec& spec : attention_specs()) {
    const std::vector<Case> cases = cases_of(spec, device);
    std::vector<at::Tensor> wanted;
    try {
      wanted = results_of(cases.front(), at::kDouble);
    } catch (const std::exception& error) {
      const std::string what = error.what();
      report.problem("attention", concat(spec.kind, " in float64: ", what.substr(0, what.find('\n'))),
                     "please report this line");
      continue;
    }
    for (const Case& c : cases) check_case(report, c, wanted);
  }
}

}  // namespace lotformer::doctor
