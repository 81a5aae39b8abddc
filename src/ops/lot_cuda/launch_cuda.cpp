// SPDX-License-Identifier: MIT
#include <cuda_runtime_api.h>

#include <algorithm>

#include "launch.h"
#include "lot_cuda.h"

namespace lotformer::lot_cuda {
namespace {

std::string text_of(cudaError_t status) {
  return status == cudaSuccess ? std::string() : std::string(cudaGetErrorString(status));
}

constexpr std::size_t kSharedWithoutAsking = 48 << 10;
constexpr int kPortableCluster = 8;

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

std::string query_device(int index, Device& device) {
  int major = 0, shared = 0;
  cudaError_t status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  if (status == cudaSuccess)
    status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
  if (status != cudaSuccess) return text_of(status);
  device.max_cluster = major >= 9 ? kPortableCluster : 1;
  device.shared_bytes = static_cast<std::size_t>(std::max(shared, 0));
  return {};
}

}  // namespace lotformer::lot_cuda
