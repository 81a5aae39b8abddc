// SPDX-License-Identifier: MIT
#include "optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "lotformer/core/error.h"

namespace lotformer {
namespace {

constexpr double kClipEpsilon = 1e-6;  // the stock clip's; the golden optimiser steps have it
constexpr int64_t kAlignment = 16;     // values: gradients begin where wide loads may

int64_t padded(int64_t count) {
  return (count + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

AdamW::AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const TrainConfig& config)
    : config_(config) {
  for (auto& [name, parameter] : parameters) {
    names_.push_back(name);
    parameters_.push_back(parameter);
    exp_avg_.push_back(at::zeros_like(parameter));
    exp_avg_sq_.push_back(at::zeros_like(parameter));
    steps_.push_back(at::zeros({}, parameter.options().dtype(at::kFloat)));
  }
  lay_out_gradients();
  if (!parameters_.empty() && parameters_[0].is_cuda())
    device_lr_ = at::zeros({}, parameters_[0].options().dtype(at::kFloat).requires_grad(false));
}

void AdamW::set_lr(double lr) {
  lr_ = lr;
  if (device_lr_.defined()) device_lr_.fill_(lr);
}

std::vector<at::Tensor> AdamW::tensors() const {
  std::vector<at::Tensor> all;
  for (const auto* group : {&parameters_, &gradients_, &exp_avg_, &exp_avg_sq_, &steps_})
    all.insert(all.end(), group->begin(), group->end());
  return all;
}

/// Torch adds to a gradient that is there in its place, so that the views stay what they are.
void AdamW::lay_out_gradients() {
  gradients_.clear();
  if (parameters_.empty()) return;
  int64_t size = 0;
  for (const at::Tensor& parameter : parameters_) {
    if (parameter.scalar_type() != parameters_[0].scalar_type())
      throw Error(ErrorKind::internal, "AdamW: parameters are of several types");
    size += padded(parameter.numel());
  }
  all_gradients_ = at::zeros({size}, parameters_[0].options().requires_grad(false));
  int64_t place = 0;
  for (at::Tensor& parameter : parameters_) {
    gradients_.push_back(all_gradients_.narrow(0, place, parameter.numel()).view(parameter.sizes()));
    parameter.mutable_grad() = gradients_.back();
    place += padded(parameter.numel());
  }
}

void AdamW::zero_grad() {
  all_gradients_.zero_();
}

at::Tensor AdamW::grad_norm(const at::Tensor& loss_scale) const {
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients_)));
  return loss_scale.defined() ? norm / loss_scale.to(norm.scalar_type()) : norm;
}

void AdamW::step(const at::Tensor& norm, const at::Tensor& loss_scale, const at::Tensor& found_inf) {
  const at::NoGradGuard no_grad;
  at::Tensor divisor =
      config_.clip > 0 ? ((norm + kClipEpsilon) / config_.clip).clamp_min(1) : at::ones({}, norm.options());
  if (loss_scale.defined()) divisor = divisor * loss_scale;
  divisor = divisor.to(at::kFloat);
  at::_foreach_add_(steps_, 1);
  const auto update = [&](const auto& lr) {
    at::_fused_adamw_(parameters_, gradients_, exp_avg_, exp_avg_sq_, {}, steps_, lr, config_.beta1,
                      config_.beta2, config_.weight_decay, config_.adam_epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, divisor, found_inf);
  };
  device_lr_.defined() ? update(device_lr_) : update(lr_);
  at::_foreach_sub_(steps_,
                    std::vector<at::Tensor>(steps_.size(), found_inf));  // a skipped update does not count
}

void AdamW::follow(const std::string& name, const at::Tensor& gradient_map) {
  const at::NoGradGuard no_grad;
  const auto it = std::find(names_.begin(), names_.end(), name);
  if (it == names_.end()) throw Error(ErrorKind::internal, "AdamW::follow: no parameter " + name);
  const auto index = static_cast<size_t>(it - names_.begin());
  const auto mapped = [&](const at::Tensor& x) {  // S x along axis 1, whatever follows it
    const at::Tensor flat = x.to(at::kDouble).reshape({x.size(0), x.size(1), -1});
    std::vector<int64_t> shape = x.sizes().vec();
    shape[1] = gradient_map.size(1);
    return at::matmul(gradient_map.to(at::kDouble), flat).reshape(shape);
  };
  exp_avg_[index] = mapped(exp_avg_[index]).to(exp_avg_[index].scalar_type());
  exp_avg_sq_[index] = mapped(exp_avg_sq_[index].sqrt()).square().to(exp_avg_sq_[index].scalar_type());
  lay_out_gradients();
}

std::vector<std::pair<std::string, at::Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (size_t i = 0; i < names_.size(); ++i) {
    result.emplace_back("exp_avg." + names_[i], exp_avg_[i]);
    result.emplace_back("exp_avg_sq." + names_[i], exp_avg_sq_[i]);
    result.emplace_back("step." + names_[i], steps_[i]);
  }
  return result;
}

void AdamW::load_state(const std::map<std::string, at::Tensor>& state) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (exp_avg_[i].sizes() == parameters_[i].sizes()) continue;
    exp_avg_[i] = at::zeros_like(parameters_[i]);
    exp_avg_sq_[i] = at::zeros_like(parameters_[i]);
    lay_out_gradients();
  }
  for (auto& [name, tensor] : this->state()) {
    const auto it = state.find(name);
    if (it == state.end())
      throw Error(ErrorKind::checkpoint, "optimizer.safetensors: tensor '" + name + "' is missing");
    if (it->second.sizes() != tensor.sizes()) {
      throw Error(ErrorKind::checkpoint,
                  "optimizer.safetensors: tensor '" + name + "' has another shape than the model");
    }
    if (it->second.scalar_type() != tensor.scalar_type())
      throw Error(ErrorKind::checkpoint,
                  "optimizer.safetensors: tensor '" + name + "' is of another type than the model's");
    tensor.copy_(it->second);
  }
}

}  // namespace lotformer
