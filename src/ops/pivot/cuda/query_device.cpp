// SPDX-License-Identifier: MIT
// Apart from launch.cpp, so that a program with emulated launches links this one alone.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "core.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kPortableCluster = 8;

std::string query_device(int index, Device& device) {
  int major = 0, shared = 0, multiprocessors = 0;
  cudaError_t status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  if (status == cudaSuccess)
    status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
  if (status == cudaSuccess)
    status = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index);
  if (status != cudaSuccess) return cudaGetErrorString(status);
  device.max_cluster = major >= 9 ? kPortableCluster : 1;
  device.shared_bytes = static_cast<std::size_t>(std::max(shared, 0));
  device.multiprocessors = std::max(multiprocessors, 1);
  return {};
}

}  // namespace lotformer::ops::pivot::cuda
