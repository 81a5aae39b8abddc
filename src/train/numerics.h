// SPDX-License-Identifier: MIT
// Loss scaling, the watch for non-finite numbers, and the running sums of the log window; all on the device,
// read when asked.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

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
  /// float and int device scalars, the same storage for good: scale and growth tracker; none when not
  /// enabled.
  std::vector<at::Tensor> tensors() const;
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
  /// What a step adds on the device; loss_sum (over examples), correct, norm: device scalars.
  void add(const at::Tensor& loss_sum, const at::Tensor& correct, const at::Tensor& norm);
  /// What it adds on the host.
  void count(int64_t examples);
  struct Means {
    double loss = 0, accuracy = 0, grad_norm = 0;
    int64_t steps = 0;
  };
  Means means() const;
  void reset();
  Json state() const;
  void load_state(const Json& state, const std::string& where);
  /// double [4] on the device, the same storage for good.
  const at::Tensor& sums() const { return sums_; }

 private:
  at::Tensor sums_;  // double [4]: loss, correct, finite norms, number of those
  int64_t examples_ = 0, steps_ = 0;
};

/// Remembers the first step whose loss or gradient norm was not finite.
class FiniteWatch {
 public:
  explicit FiniteWatch(c10::Device device);
  /// The number of the step that is observed next.
  void set_step(int64_t step);
  /// Returns found_inf for the optimiser (float, 1: skip the update). With loss scaling an infinite norm is
  /// an ordinary overflow and only a non-finite loss is remembered.
  at::Tensor observe(const at::Tensor& loss, const at::Tensor& norm, bool scaled);
  /// First bad step, or -1. Waits for the device.
  int64_t bad_step() const;
  /// int64 device scalars, the same storage for good: that step, and the number of the next.
  std::vector<at::Tensor> state() const { return {bad_step_, step_}; }

 private:
  at::Tensor bad_step_, step_;
};

}  // namespace lotformer
