// SPDX-License-Identifier: MIT
// The CUDA core's operators on CPU tensors: registered over the CPU core, with the emulated kernels behind
// them.
#pragma once

#include <torch/library.h>

#include "ops/pivot/cuda/emulated_call.h"
#include "ops/pivot/cuda/operators.h"

namespace lotformer::test {

/// What the next calls take the emulated part for; a test may change it.
inline ops::pivot::cuda::Device& emulated_device() {
  static ops::pivot::cuda::Device device = ops::pivot::cuda::test::kLargeDevice;
  return device;
}

struct EmulatedSite {
  explicit EmulatedSite(const at::Tensor&) {}
  ops::pivot::cuda::bind::Target target() const { return {emulated_device(), nullptr}; }
};

/// While alive, calls with CPU tensors run as calls with CUDA tensors would.
class EmulatedCore {
 public:
  EmulatedCore() : library_(torch::Library::IMPL, "lotformer", c10::DispatchKey::CPU, __FILE__, __LINE__) {
    ops::pivot::cuda::bind::Operators<EmulatedSite>::add_to(library_);
    ops::core_traits(at::kCPU) = {
        /*bf16=*/true, [](const ops::PivotArguments& arguments, const ops::PivotSetting& setting) {
          return ops::pivot::cuda::bind::refusal(arguments, setting, emulated_device());
        }};
  }
  ~EmulatedCore() {
    ops::core_traits(at::kCPU) = {};
    emulated_device() = ops::pivot::cuda::test::kLargeDevice;
  }
  EmulatedCore(const EmulatedCore&) = delete;
  EmulatedCore& operator=(const EmulatedCore&) = delete;

 private:
  torch::Library library_;
};

}  // namespace lotformer::test
