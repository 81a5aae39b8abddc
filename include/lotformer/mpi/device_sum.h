// SPDX-License-Identifier: MIT
// Sums of CUDA tensors over processes, each of which has a device of its own: NCCL, as LibTorch links it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace lotformer {

/// "NCCL 2.28.9", or "" in a build without CUDA.
std::string device_sum_library();
/// Bytes by which processes find each other: one makes them, all get them. Error(device) in a build without
/// CUDA.
std::string make_device_sum_id();

class DeviceSum {
 public:
  /// Collective, with the device that will be used as the current one. Error(device).
  DeviceSum(const std::string& id, int64_t rank, int64_t size);
  ~DeviceSum();
  DeviceSum(const DeviceSum&) = delete;
  DeviceSum& operator=(const DeviceSum&) = delete;
  /// Collective, in place, on the current stream; does not wait for it.
  void operator()(const at::Tensor& tensor) const;

 private:
  void* communicator_ = nullptr;
};

}  // namespace lotformer
