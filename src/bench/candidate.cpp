// SPDX-License-Identifier: MIT
#include "candidate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <torch/utils.h>

#include <algorithm>

#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/config/load.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/cpu_memory.h"
#include "lotformer/train/device_memory.h"

namespace lotformer::bench {
namespace {

/// Which of `mode` and `pivots` a module has, and their values.
class Look final : public FieldVisitor {
 public:
  void field(const FieldInfo&, bool&) override {}
  void field(const FieldInfo&, double&) override {}
  void field(const FieldInfo& info, int64_t& value) override {
    if (info.key == "pivots") pivots = value;
  }
  void field(const FieldInfo& info, std::string& value) override {
    if (info.key == "mode") mode = value;
  }
  Json mode, pivots;  // null: no such option
};

Look look_at(Options& options) {
  Look look;
  options.visit(look);
  return look;
}

std::string text_of(const Candidate& candidate) {
  return candidate.attention + (candidate.options.empty() ? "" : ":") + join(candidate.options, ",");
}

/// The reader of configurations sets and checks the options, so that every one of them is possible and is
/// named as there.
std::shared_ptr<Options> make_options(const Setting& setting, const Candidate& candidate) {
  ConfigRequest request;
  const auto set = [&](const std::string& assignment) {
    request.assignments.push_back("model.attention." + assignment);
  };
  set("kind=" + candidate.attention);
  if (!look_at(*find_attention(candidate.attention).options()).pivots.is_null()) {
    set(concat("pivots=", setting.pivots));
    set("epsilon=" + format_double(setting.epsilon));
  }
  // The published iteration is the baseline of every ratio: in plain ATen, unless a core is asked for by
  // name.
  if (candidate.attention == "lotformer" &&
      std::count(candidate.options.begin(), candidate.options.end(), "mode=reference"))
    set("core=aten");
  for (const std::string& option : candidate.options) set(option);
  try {
    return load_config(request, {attention_kinds(), {}}).attention;
  } catch (const Error& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    throw Error(ErrorKind::usage, concat(quoted(text_of(candidate), 80), ": ", message));
  }
}

bool is_mode(const std::string& option) {
  return option.rfind("mode=", 0) == 0;
}

Json describe(const Candidate& candidate, Options& options) {
  const Look look = look_at(options);
  std::vector<std::string> others;
  std::copy_if(candidate.options.begin(), candidate.options.end(), std::back_inserter(others),
               [](const std::string& option) { return !is_mode(option); });
  return {{"attention", options.record_name(candidate.attention)},
          {"mode", look.mode},
          {"options", join(others, ",")},
          {"default", candidate.options.empty()},
          {"pivots", look.pivots}};
}

at::Tensor ragged_lengths(int64_t batch, int64_t tokens) {
  at::Tensor lengths = at::empty({batch}, at::kLong);
  for (int64_t b = 0; b < batch; ++b) {
    const double cut =
        (static_cast<double>(b) + 0.5) / static_cast<double>(batch) * 0.75 * static_cast<double>(tokens);
    lengths.data_ptr<int64_t>()[b] = std::max<int64_t>(1, tokens - static_cast<int64_t>(cut));
  }
  return lengths;
}

}  // namespace

Candidate parse_candidate(const std::string& text) {
  const size_t colon = text.find(':');
  Candidate candidate{text.substr(0, colon), {}};
  find_attention(candidate.attention);
  for (size_t begin = colon; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin + 1), text.size());
    const std::string option = text.substr(begin + 1, end - begin - 1);
    if (option.empty())
      throw Error(ErrorKind::usage, concat(quoted(text, 80), ": expected module:mode,key=value,..."));
    candidate.options.push_back(option.find('=') == std::string::npos ? "mode=" + option : option);
    begin = end;
  }
  make_options(lra_settings().front(), candidate);
  return candidate;
}

Subject::Subject(const Request& request, const Setting& setting, const Candidate& candidate)
    : device_(request.device) {
  torch::manual_seed(7);
  const auto options = make_options(setting, candidate);
  description_ = describe(candidate, *options);
  module_ =
      find_attention(candidate.attention).build(*options, {request.heads, request.head_dim, request.dropout});
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
  if (request.padded) lengths_ = ragged_lengths(request.batch, setting.tokens).to(device_);
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

int64_t Subject::peak_bytes(bool backward) {
  clear_gradients();
  if (device_.is_cuda()) {
    cuda_synchronize(device_.index());
    cuda_reset_peak_bytes(device_.index());
    const int64_t before = cuda_peak_bytes(device_.index());
    backward ? forward_backward() : forward();
    cuda_synchronize(device_.index());
    return cuda_peak_bytes(device_.index()) - before;
  }
  ops::reset_cpu_memory_peak();
  const int64_t before = ops::cpu_memory().peak;
  backward ? forward_backward() : forward();
  return ops::cpu_memory().peak - before;
}

Json Subject::residual() {
  const at::NoGradGuard no_grad;
  auto* solver = dynamic_cast<HasSolver*>(module_.get());
  if (solver == nullptr) return nullptr;
  for (const auto& [name, value] : solver->solver_record(q_, k_, lengths_)) {
    if (name == "residual_max") return value.item<double>();
  }
  return nullptr;
}

int64_t Subject::result_bytes() const {
  auto bytes = static_cast<int64_t>(q_.nbytes());  // the output has the shape and dtype of q
  const auto add = [&](const at::Tensor& t) { bytes += t.grad().defined() ? t.grad().nbytes() : 0; };
  for (const at::Tensor* t : {&q_, &k_, &v_}) add(*t);
  for (const at::Tensor& parameter : module_->parameters()) add(parameter);
  return bytes;
}

}  // namespace lotformer::bench
