// SPDX-License-Identifier: MIT
// Devices, memory, threads, and the translation of torch's errors into ours.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>

namespace lotformer {

/// `auto` (CUDA when there is one), `cpu`, `cuda` or `cuda:N`. Error(usage) for other text, Error(device) for
/// a device that is not there.
c10::Device parse_device(const std::string& text);
/// "cpu" or "NVIDIA H200 (cuda:0)".
std::string device_name(c10::Device device);

/// Sets the number of intra-op threads (0: all cores this process may use) and returns the number in force.
/// Float sums depend on it.
int64_t set_threads(int64_t threads);

/// Peak resident memory of the process (CPU) or peak allocated memory on the device (CUDA), in bytes.
int64_t peak_memory_bytes(c10::Device device);

/// As run_program, with the CPU allocator of ops/cpu_memory.h, and maps torch's exceptions: out of memory ->
/// 7, CUDA failures -> 8, the rest -> 70 with the first line only.
int run_torch_program(const std::string& name, const std::function<int()>& body);

}  // namespace lotformer
