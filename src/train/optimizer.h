// SPDX-License-Identifier: MIT
// AdamW (Loshchilov & Hutter 2019) through torch's fused kernel, with the global-norm clip and the loss scale
// folded into it: no host synchronisation anywhere in a step.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lotformer/config/config.h"

namespace lotformer {

class AdamW {
 public:
  /// Takes the parameters by name (the names of the optimiser's state); gives each a zero gradient that lives
  /// as long as it.
  AdamW(std::vector<std::pair<std::string, at::Tensor>> parameters, const TrainConfig& config);

  void zero_grad();
  /// The gradients of all parameters as one tensor, which each of them is a view of: what processes add up.
  /// Zeros between them. Another one after parameters have changed their shapes.
  const at::Tensor& all_gradients() const { return all_gradients_; }
  /// Norm of all gradients together, divided by `loss_scale` (a device scalar, undefined: 1): device scalar.
  at::Tensor grad_norm(const at::Tensor& loss_scale) const;
  /// The learning rate of the next updates. On a GPU it lives there, so that a recorded update reads it.
  void set_lr(double lr);
  /// One update. Gradients are divided by loss_scale * max(1, (norm + 1e-6) / clip)
  /// inside the kernel; nothing happens where `found_inf` (float device scalar) is 1.
  void step(const at::Tensor& norm, const at::Tensor& loss_scale, const at::Tensor& found_inf);
  /// All that an update reads and writes, parameters and gradients included.
  std::vector<at::Tensor> tensors() const;

  /// After a parameter has taken another shape: its state follows. With S = gradient_map [H, new, old] along
  /// axis 1 the gradient of the new parameter is S times the old one's, so the mean of gradients becomes S m.
  /// The squares become (S sqrt(v))^2: exact for proportional gradients, as pivots that are worth merging
  /// have, and never too small (Cauchy-Schwarz), so no step is too long. Error (internal) when there is no
  /// such parameter.
  void follow(const std::string& name, const at::Tensor& gradient_map);

  /// exp_avg.NAME, exp_avg_sq.NAME, step.NAME
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  /// Takes over shapes that parameters have changed to. Error(checkpoint) when a tensor is missing or has
  /// another shape.
  void load_state(const std::map<std::string, at::Tensor>& state);

 private:
  void lay_out_gradients();

  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_, gradients_, exp_avg_, exp_avg_sq_, steps_;
  at::Tensor all_gradients_;
  TrainConfig config_;
  double lr_ = 0;
  at::Tensor device_lr_;  // float device scalar; undefined on a CPU
};

}  // namespace lotformer
