// SPDX-License-Identifier: MIT
// The operators by the kernels of this folder: tensors in, pivot::cuda::Problem out. Nothing here speaks to a
// GPU itself, so that the tests run it with the emulated kernels on CPU tensors; register.cpp registers it
// for CUDA.
#pragma once

#include <string>

#include "core.h"
#include "ops/pivot/call.h"

namespace lotformer::ops::pivot::cuda::bind {

/// Where the kernels run.
struct Target {
  pivot::cuda::Device device;
  void* stream = nullptr;
};

struct Forward {
  at::Tensor out;
  at::Tensor state;  // float32 [n], opaque
  at::Tensor residual,
      passes;  // float32, int32 [2, B, H], in the same storage behind `state`; without meaning in a fixed run
};

/// As CoreTraits::refusal; looks at shapes and types only.
std::string refusal(const PivotArguments& arguments, const PivotSetting& setting,
                    const pivot::cuda::Device& device);

/// Throws ValueError or TypeError for what cannot be, and for what is refused; c10::Error with what a launch
/// said. Without `gradients` the state is empty.
Forward forward(const PivotArguments& arguments, const PivotSetting& setting, const Target& target,
                bool gradients = true);
PivotGradients backward(const PivotArguments& arguments, const PivotSetting& setting, const at::Tensor& d_out,
                        const at::Tensor& state, const Target& target);

}  // namespace lotformer::ops::pivot::cuda::bind
