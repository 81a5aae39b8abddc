// SPDX-License-Identifier: MIT
// The CUDA kernels of the operators. Everything runs on the caller's stream, and the host never looks at
// device memory, so that graphs capture it.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <mutex>
#include <vector>

#include "operators.h"

namespace lotformer::ops {
namespace {

/// Asked once: the answers never change.
pivot::cuda::Device device_of(c10::DeviceIndex index) {
  static std::mutex mutex;
  static std::vector<pivot::cuda::Device> known(C10_COMPILE_TIME_MAX_GPUS);
  const std::lock_guard lock(mutex);
  pivot::cuda::Device& device = known.at(index);
  if (device.shared_bytes == 0) {
    const std::string error = pivot::cuda::query_device(index, device);
    TORCH_CHECK(error.empty(), "lotformer::pivot: ", error);
  }
  return device;
}

class Gpu {
 public:
  explicit Gpu(const at::Tensor& q)
      : guard_(q.device()),
        target_{device_of(q.device().index()), c10::cuda::getCurrentCUDAStream(q.device().index()).stream()} {
  }
  const pivot::cuda::bind::Target& target() const { return target_; }

 private:
  c10::cuda::CUDAGuard guard_;
  pivot::cuda::bind::Target target_;
};

std::string refusal(const PivotArguments& arguments, const PivotSetting& setting) {
  return pivot::cuda::bind::refusal(arguments, setting, device_of(arguments.q.device().index()));
}

}  // namespace

TORCH_LIBRARY_IMPL(lotformer, CUDA, m) {
  pivot::cuda::bind::Operators<Gpu>::add_to(m);
}

CoreTraits cuda_core_traits() {
  return {/*bf16=*/true, &refusal};
}

}  // namespace lotformer::ops
