// SPDX-License-Identifier: MIT
// Numbers that the host reads without holding up the device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>
#include <vector>

namespace lotformer {

/// Copies numbers to the host behind what the current stream has been given so far. Work that is given to it
/// afterwards neither waits for the copy nor changes what is read.
class LateNumbers {
 public:
  /// Of any real type and shape, none undefined, all on the CPU or on one device.
  explicit LateNumbers(const std::vector<at::Tensor>& numbers);
  /// In their order, one behind the other. Waits for that copy alone.
  std::vector<double> read();

 private:
  std::vector<at::Tensor> parts_;  // float64, on the CPU, in their order
  std::optional<c10::Event> copied_;
};

}  // namespace lotformer
