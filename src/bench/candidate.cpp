// SPDX-License-Identifier: MIT
#include "candidate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/utils.h>

#include <algorithm>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/cpu_memory.h"
#include "lotformer/train/device_memory.h"

namespace lotformer::bench {
namespace {

/// Sets the fields a measurement prescribes, where the module has them, and notes the mode.
class Prescribe final : public FieldVisitor {
 public:
  Prescribe(const Setting& setting, std::string mode) : setting_(setting), mode_(std::move(mode)) {}
  void field(const FieldInfo&, bool&) override {}
  void field(const FieldInfo& info, int64_t& value) override {
    if (info.key == "pivots") value = setting_.pivots;
  }
  void field(const FieldInfo& info, double& value) override {
    if (info.key == "epsilon" && lotformer_) value = setting_.epsilon;
  }
  void field(const FieldInfo& info, std::string& value) override {
    if (info.key != "mode") return;
    if (!mode_.empty()) {
      if (std::find(info.choices.begin(), info.choices.end(), mode_) == info.choices.end())
        throw Error(ErrorKind::usage,
                    concat("mode ", quoted(mode_), " is not one of ", join(names(info), ", ")));
      value = mode_;
    }
    found = value;
  }
  void for_lotformer() { lotformer_ = true; }
  std::string found;

 private:
  static std::vector<std::string> names(const FieldInfo& info) {
    return {info.choices.begin(), info.choices.end()};
  }
  const Setting& setting_;
  std::string mode_;
  bool lotformer_ = false;
};

}  // namespace

Candidate parse_candidate(const std::string& text) {
  const size_t colon = text.find(':');
  Candidate candidate{text.substr(0, colon), colon == std::string::npos ? "" : text.substr(colon + 1)};
  Setting setting;
  Prescribe check(setting, candidate.mode);
  find_attention(candidate.attention).options()->visit(check);
  if (!candidate.mode.empty() && check.found.empty())
    throw Error(ErrorKind::usage, concat(candidate.attention, " has no modes, got ", quoted(candidate.mode)));
  return candidate;
}

Subject::Subject(const Request& request, const Setting& setting, const Candidate& candidate)
    : device_(request.device) {
  torch::manual_seed(7);
  const AttentionSpec& spec = find_attention(candidate.attention);
  const auto options = spec.options();
  Prescribe prescribe(setting, candidate.mode);
  if (candidate.attention == "lotformer") prescribe.for_lotformer();
  options->visit(prescribe);
  mode_ = prescribe.found;
  module_ = spec.build(*options, {.heads = request.heads, .head_dim = request.head_dim});
  const at::NoGradGuard no_grad;
  // With unit-variance queries the scores q.z / sqrt(D) have the standard deviation of the pivots' entries.
  for (auto& parameter : module_->named_parameters()) {
    if (parameter.key() == "pivots")
      parameter.value().copy_(at::randn(parameter.value().sizes()) * request.score_std);
  }
  module_->to(device_);
  torch::manual_seed(11);
  const auto input = [&] {
    return at::randn({request.batch, request.heads, setting.tokens, request.head_dim})
        .to(device_, request.dtype);
  };
  q_ = input().requires_grad_();
  k_ = input().requires_grad_();
  v_ = input().requires_grad_();
  upstream_ = input();
}

void Subject::clear_gradients() {
  for (at::Tensor* t : {&q_, &k_, &v_}) t->mutable_grad() = at::Tensor();
  for (at::Tensor& parameter : module_->parameters()) parameter.mutable_grad() = at::Tensor();
}

void Subject::forward() {
  const at::NoGradGuard no_grad;
  module_->forward(q_, k_, v_, lengths_);
}

void Subject::forward_backward() {
  clear_gradients();
  const at::Tensor out = module_->forward(q_, k_, v_, lengths_);
  if (out.requires_grad()) out.backward(upstream_);
}

int64_t Subject::peak_bytes() {
  clear_gradients();
  if (device_.is_cuda()) {
    cuda_synchronize(device_.index());
    cuda_reset_peak_bytes(device_.index());
    const int64_t before = cuda_peak_bytes(device_.index());
    forward_backward();
    cuda_synchronize(device_.index());
    return cuda_peak_bytes(device_.index()) - before;
  }
  ops::reset_cpu_memory_peak();
  const int64_t before = ops::cpu_memory().peak;
  forward_backward();
  return ops::cpu_memory().peak - before;
}

}  // namespace lotformer::bench
