// SPDX-License-Identifier: MIT
#include "launch.h"

#include <cuda_runtime_api.h>

namespace lotformer::ops::pivot::cuda {
namespace {

std::string text_of(cudaError_t status) {
  return status == cudaSuccess ? std::string() : std::string(cudaGetErrorString(status));
}

constexpr std::size_t kSharedWithoutAsking = 48 << 10;

}  // namespace

std::string launch(Kernel kernel, int64_t grid, int cluster, int threads, std::size_t shared_bytes,
                   const PivotArgs& args, void* stream) {
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > kSharedWithoutAsking) {
    const cudaError_t status = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shared_bytes));
    if (status != cudaSuccess) return text_of(status);
  }
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;
  PivotArgs copy = args;
  void* parameters[] = {&copy};
  return text_of(cudaLaunchKernelExC(&config, function, parameters));
}

}  // namespace lotformer::ops::pivot::cuda
