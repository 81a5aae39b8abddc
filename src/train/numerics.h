// SPDX-License-Identifier: MIT
// Loss scaling, the watch for non-finite numbers, and the running sums of the log window; all on the device,
// read when asked.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer {

/// Dynamic loss scale for fp16 (start 65536, doubled after 2000 good steps, halved at an overflow;
/// Micikevicius et al. 2018).
class LossScaler {
 public:
  /// A smaller scale has collapsed: 2^-10 takes 26 overflows from the start with hardly a good step between,
  /// so it is the gradients that are not finite, whatever they are multiplied by.
  static constexpr double kCollapsed = 1.0 / 1024;
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
  /// loss and accuracy over the examples of steps with a finite loss (NaN where there are none), the norm
  /// over updates that were made.
  struct Means {
    double loss = 0, accuracy = 0, grad_norm = 0;
    /// Of those steps.
    int64_t examples = 0;
    /// Steps whose update was left out, for an overflow under loss scaling or for train.on_nonfinite=skip.
    int64_t skipped = 0;
  };
  /// What the host has added.
  struct Counts {
    int64_t examples = 0, steps = 0;
  };
  const Counts& counts() const { return counts_; }
  /// From what sums() held when counts() were these.
  static Means means(std::span<const double> sums, const Counts& counts);
  /// Waits for the device.
  Means means() const;
  void reset();
  Json state() const;
  void load_state(const Json& state, const std::string& where);
  /// double [5] on the device, the same storage for good.
  const at::Tensor& sums() const { return sums_; }

 private:
  at::Tensor sums_;  // double [5]: loss, correct, finite norms, number of those, number of finite losses
  Counts counts_;
};

/// Remembers the step with which a run has had enough of losses and gradient norms that are not finite.
class FiniteWatch {
 public:
  /// `limit`: non-finite steps in a row that are too many. With 1 the first is, and nothing is counted.
  explicit FiniteWatch(c10::Device device, int64_t limit = 1);
  /// The number of the step that is observed next.
  void set_step(int64_t step);
  /// Returns found_inf for the optimiser (float, 1: skip the update). With a loss scale (a device scalar;
  /// undefined: none) that has not collapsed, an infinite norm is an ordinary overflow.
  at::Tensor observe(const at::Tensor& loss, const at::Tensor& norm, const at::Tensor& loss_scale);
  /// The step that was one too many, or -1. Waits for the device.
  int64_t bad_step() const;
  /// Of non-finite steps, with a limit above 1.
  struct Count {
    int64_t in_a_row = 0, all = 0;
    /// The step of the latest, or -1.
    int64_t last = -1;
  };
  /// Waits for the device.
  Count count() const;
  /// No step has been one too many, and so many were not finite.
  void restart(const Count& count);
  /// What bad_step() and count() read, int64 device tensors: a scalar and [3].
  const at::Tensor& bad_step_there() const { return bad_step_; }
  const at::Tensor& count_there() const { return count_; }
  /// int64 device tensors, the same storage for good: that step, the number of the next, the count.
  std::vector<at::Tensor> state() const { return {bad_step_, step_, count_}; }

 private:
  int64_t limit_;
  at::Tensor bad_step_, step_, count_;  // count_: int64 [3], as Count
};

}  // namespace lotformer
