// SPDX-License-Identifier: MIT
#include "numerics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace lotformer {
namespace {

constexpr double kFirstScale = 65536, kGrowth = 2, kBackoff = 0.5;
constexpr int64_t kGrowthInterval = 2000;

at::TensorOptions on(c10::Device device, c10::ScalarType type) {
  return at::TensorOptions().device(device).dtype(type);
}

}  // namespace

LossScaler::LossScaler(bool enabled, c10::Device device) : enabled_(enabled) {
  if (!enabled) return;
  scale_ = at::full({}, kFirstScale, on(device, at::kFloat));
  growth_tracker_ = at::zeros({}, on(device, at::kInt));
}

void LossScaler::update(const at::Tensor& found_inf) {
  if (enabled_)
    at::_amp_update_scale_(scale_, growth_tracker_, found_inf, kGrowth, kBackoff, kGrowthInterval);
}

std::vector<at::Tensor> LossScaler::tensors() const {
  if (!enabled_) return {};
  return {scale_, growth_tracker_};
}

Json LossScaler::state() const {
  if (!enabled_) return nullptr;
  return {{"scale", scale_.item<double>()}, {"growth_tracker", growth_tracker_.item<int64_t>()}};
}

void LossScaler::load_state(const Json& state, const std::string& where) {
  if (!enabled_ || state.is_null()) return;
  scale_.fill_(json_get<double>(state, "scale", where, ErrorKind::checkpoint));
  growth_tracker_.fill_(json_get<int64_t>(state, "growth_tracker", where, ErrorKind::checkpoint));
}

LogWindow::LogWindow(c10::Device device) : sums_(at::zeros({4}, on(device, at::kDouble))) {}

void LogWindow::add(const at::Tensor& loss_sum, const at::Tensor& correct, const at::Tensor& norm) {
  // The norm of an update that was skipped for an overflow is not finite and does not count.
  const at::Tensor counted = at::isfinite(norm);
  const at::Tensor finite_norm = norm.masked_fill(counted.logical_not(), 0);
  sums_ += at::stack({loss_sum.to(at::kDouble), correct.to(at::kDouble), finite_norm.to(at::kDouble),
                      counted.to(at::kDouble)});
}

void LogWindow::count(int64_t examples) {
  examples_ += examples;
  ++steps_;
}

LogWindow::Means LogWindow::means() const {
  const at::Tensor sums = sums_.cpu();
  const double* s = sums.data_ptr<double>();
  const auto examples = static_cast<double>(examples_);
  return {s[0] / examples, s[1] / examples, s[2] / std::max(s[3], 1.0), steps_};
}

void LogWindow::reset() {
  sums_.zero_();
  examples_ = steps_ = 0;
}

Json LogWindow::state() const {
  const at::Tensor sums = sums_.cpu();
  const double* s = sums.data_ptr<double>();
  return {{"loss", s[0]},  {"correct", s[1]},       {"grad_norm", s[2]},
          {"norms", s[3]}, {"examples", examples_}, {"steps", steps_}};
}

void LogWindow::load_state(const Json& state, const std::string& where) {
  const auto number = [&](const char* key) {
    return json_get<double>(state, key, where, ErrorKind::checkpoint);
  };
  sums_.copy_(
      at::tensor({number("loss"), number("correct"), number("grad_norm"), number("norms")}, at::kDouble));
  examples_ = json_get<int64_t>(state, "examples", where, ErrorKind::checkpoint);
  steps_ = json_get<int64_t>(state, "steps", where, ErrorKind::checkpoint);
}

FiniteWatch::FiniteWatch(c10::Device device)
    : bad_step_(at::full({}, -1, on(device, at::kLong))), step_(at::zeros({}, on(device, at::kLong))) {}

void FiniteWatch::set_step(int64_t step) {
  step_.fill_(step);
}

at::Tensor FiniteWatch::observe(const at::Tensor& loss, const at::Tensor& norm, bool scaled) {
  const at::Tensor finite_loss = at::isfinite(loss);
  const at::Tensor finite = finite_loss.logical_and(at::isfinite(norm));
  const at::Tensor bad = (scaled ? finite_loss : finite).logical_not().logical_and(bad_step_ < 0);
  bad_step_.copy_(at::where(bad, step_, bad_step_));
  return finite.logical_not().to(at::kFloat);
}

int64_t FiniteWatch::bad_step() const {
  return bad_step_.item<int64_t>();
}

}  // namespace lotformer
