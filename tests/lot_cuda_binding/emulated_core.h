// SPDX-License-Identifier: MIT
// The CUDA core's operators on CPU tensors: registered over the CPU core, with the emulated kernels behind them.
#pragma once

#include <torch/library.h>

#include "emulated_call.h"
#include "ops/pivot_core_cuda_operators.h"

namespace lotformer::test {

/// What the next calls take the emulated part for; a test may change it.
inline lot_cuda::Device& emulated_device() {
  static lot_cuda::Device device = lot_cuda::test::kLargeDevice;
  return device;
}

struct EmulatedSite {
  explicit EmulatedSite(const at::Tensor&) {}
  ops::core_cuda::Target target() const { return {emulated_device(), nullptr}; }
};

/// While alive, calls with CPU tensors run as calls with CUDA tensors would.
class EmulatedCore {
 public:
  EmulatedCore() : library_(torch::Library::IMPL, "lotformer", c10::DispatchKey::CPU, __FILE__, __LINE__) {
    ops::core_cuda::Operators<EmulatedSite>::add_to(library_);
    ops::core_traits(at::kCPU) = {/*bf16=*/true,
                                  [](const ops::PivotArguments& arguments, const ops::PivotCall& call) {
                                    return ops::core_cuda::refusal(arguments, call, emulated_device());
                                  }};
  }
  ~EmulatedCore() {
    ops::core_traits(at::kCPU) = {};
    emulated_device() = lot_cuda::test::kLargeDevice;
  }
  EmulatedCore(const EmulatedCore&) = delete;
  EmulatedCore& operator=(const EmulatedCore&) = delete;

 private:
  torch::Library library_;
};

}  // namespace lotformer::test
