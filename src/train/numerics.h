// SPDX-License-Identifier: MIT
// Loss scaling, the watch for non-finite numbers, and the running sums of the log window; all on the device,
// read when asked.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

#include "lotformer/core/json.h"

namespace lotformer {

/// Dynamic loss scale for fp16 (start 65536, doubled after 2000 good steps, halved at an overflow;
/// Micikevicius et al. 2018).
class LossScaler {
 public:
  LossScaler(bool enabled, c10::Device device);
  bool enabled() const { return enabled_; }
  /// float device scalar; undefined when not enabled.
  const at::Tensor& scale() const { return scale_; }
  void update(const at::Tensor& found_inf);
  Json state() const;
  void load_state(const Json& state, const std::string& where);

 private:
  bool enabled_;
  at::Tensor scale_, growth_tracker_;
};

/// Sums over the steps since the last log line, kept across checkpoints so that a resumed run logs the same
/// numbers.
class LogWindow {
 public:
  explicit LogWindow(c10::Device device);
  /// loss_sum (over examples), correct, norm: device scalars
  void add(const at::Tensor& loss_sum, const at::Tensor& correct, const at::Tensor& norm, int64_t examples);
  struct Means {
    double loss = 0, accuracy = 0, grad_norm = 0;
    int64_t steps = 0;
  };
  Means means() const;
  void reset();
  Json state() const;
  void load_state(const Json& state, const std::string& where);

 private:
  at::Tensor sums_;  // double [4]: loss, correct, finite norms, number of those
  int64_t examples_ = 0, steps_ = 0;
};

/// Remembers the first step whose loss or gradient norm was not finite.
class FiniteWatch {
 public:
  explicit FiniteWatch(c10::Device device);
  /// Returns found_inf for the optimiser (float, 1: skip the update). With loss scaling an infinite norm is
  /// an ordinary overflow and only a non-finite loss is remembered.
  at::Tensor observe(int64_t step, const at::Tensor& loss, const at::Tensor& norm, bool scaled);
  /// First bad step, or -1. Waits for the device.
  int64_t bad_step() const;

 private:
  at::Tensor bad_step_;
};

}  // namespace lotformer
