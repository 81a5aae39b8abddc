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

LogWindow::LogWindow(c10::Device device) : sums_(at::zeros({5}, on(device, at::kDouble))) {}

void LogWindow::add(const at::Tensor& loss_sum, const at::Tensor& correct, const at::Tensor& norm) {
  // A loss that is not finite does not count, nor does the norm of an update that was left out.
  const at::Tensor loss_counts = at::isfinite(loss_sum);
  const at::Tensor norm_counts = at::isfinite(norm).logical_and(loss_counts);
  const at::Tensor counts =
      at::stack({loss_counts, loss_counts, norm_counts, norm_counts, loss_counts}).to(at::kDouble);
  const at::Tensor values = at::stack(
      {loss_sum.to(at::kDouble), correct.to(at::kDouble), norm.to(at::kDouble), counts[3], counts[4]});
  sums_ += values.masked_fill(counts.eq(0), 0);
}

void LogWindow::count(int64_t examples) {
  counts_.examples += examples;
  ++counts_.steps;
}

LogWindow::Means LogWindow::means(std::span<const double> s, const Counts& counts) {
  const int64_t examples = counts.steps > 0 ? counts.examples / counts.steps * static_cast<int64_t>(s[4]) : 0;
  const auto scored = static_cast<double>(examples);
  return {s[0] / scored, s[1] / scored, s[2] / std::max(s[3], 1.0), examples,
          counts.steps - static_cast<int64_t>(s[3])};
}

LogWindow::Means LogWindow::means() const {
  const at::Tensor sums = sums_.cpu();
  return means({sums.const_data_ptr<double>(), static_cast<size_t>(sums.numel())}, counts_);
}

void LogWindow::reset() {
  sums_.zero_();
  counts_ = {};
}

Json LogWindow::state() const {
  const at::Tensor sums = sums_.cpu();
  const double* s = sums.data_ptr<double>();
  return {{"loss", s[0]},          {"correct", s[1]}, {"grad_norm", s[2]},
          {"norms", s[3]},         {"losses", s[4]},  {"examples", counts_.examples},
          {"steps", counts_.steps}};
}

void LogWindow::load_state(const Json& state, const std::string& where) {
  const auto number = [&](const char* key) {
    return json_get<double>(state, key, where, ErrorKind::checkpoint);
  };
  // A checkpoint of an earlier build has no losses to leave out.
  const double losses = state.contains("losses") ? number("losses") : number("steps");
  sums_.copy_(at::tensor({number("loss"), number("correct"), number("grad_norm"), number("norms"), losses},
                         at::kDouble));
  counts_.examples = json_get<int64_t>(state, "examples", where, ErrorKind::checkpoint);
  counts_.steps = json_get<int64_t>(state, "steps", where, ErrorKind::checkpoint);
}

FiniteWatch::FiniteWatch(c10::Device device, int64_t limit)
    : limit_(limit),
      bad_step_(at::full({}, -1, on(device, at::kLong))),
      step_(at::zeros({}, on(device, at::kLong))),
      count_(at::zeros({3}, on(device, at::kLong))) {
  restart({});
}

void FiniteWatch::set_step(int64_t step) {
  step_.fill_(step);
}

at::Tensor FiniteWatch::observe(const at::Tensor& loss, const at::Tensor& norm,
                                const at::Tensor& loss_scale) {
  const at::Tensor finite_loss = at::isfinite(loss);
  const at::Tensor finite = finite_loss.logical_and(at::isfinite(norm));
  at::Tensor passes = finite;
  if (loss_scale.defined())
    passes = finite.logical_or(finite_loss.logical_and(loss_scale >= LossScaler::kCollapsed));
  at::Tensor too_many = passes.logical_not();
  if (limit_ > 1) {
    const at::Tensor in_a_row = (count_[0] + 1).masked_fill(passes, 0);
    count_.copy_(at::stack({in_a_row, count_[1] + too_many, at::where(passes, count_[2], step_)}));
    too_many = in_a_row >= limit_;
  }
  bad_step_.copy_(at::where(too_many.logical_and(bad_step_ < 0), step_, bad_step_));
  return finite.logical_not().to(at::kFloat);
}

int64_t FiniteWatch::bad_step() const {
  return bad_step_.item<int64_t>();
}

FiniteWatch::Count FiniteWatch::count() const {
  const at::Tensor count = count_.cpu();
  const int64_t* c = count.data_ptr<int64_t>();
  return {c[0], c[1], c[2]};
}

void FiniteWatch::restart(const Count& count) {
  bad_step_.fill_(-1);
  count_.copy_(at::tensor({count.in_a_row, count.all, count.last}, at::kLong));
}

}  // namespace lotformer
