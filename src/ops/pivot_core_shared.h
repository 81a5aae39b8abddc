// SPDX-License-Identifier: MIT
// What the operators of pivot_core.h have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace lotformer::ops {

using Optional = std::optional<at::Tensor>;

inline Optional optional_of(const at::Tensor& x) {
  return x.defined() ? Optional(x) : std::nullopt;
}

/// [B, H, N, D] in the memory order [B, N, H, D]; meta tensors too.
at::Tensor empty_heads(const at::Tensor& like);
/// Shapes, dtypes and lengths of a CPU call; ValueError, TypeError. A core that is told a wrong length reads beyond the tensor.
void check_inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& pivots,
                  const at::Tensor& masses, const Optional& lengths);
/// float32 at least, for autocast: small differences of exponents do not survive bf16.
at::Tensor raised_to_float(const at::Tensor& x, c10::DeviceType device);
bool wants_gradient(at::TensorList tensors);
/// Error(usage) where no core is registered for x's device.
void require_core(const at::Tensor& x);

}  // namespace lotformer::ops
