// SPDX-License-Identifier: MIT
// Devices, memory, threads, and the translation of torch's errors into ours.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace lotformer {

/// `auto` (CUDA when there is one), `cpu`, `cuda` or `cuda:N`. Error(usage) for other text, Error(device) for
/// a device that is not there.
c10::Device parse_device(const std::string& text);
/// "cpu" or "NVIDIA H200 (cuda:0)".
std::string device_name(c10::Device device);

/// Sets the number of intra-op threads (0: usable_processors()) and returns the number in force. Float sums
/// depend on it. Error(usage) for more than most_threads(): they would be tried, one stack each.
int64_t set_threads(int64_t threads);

/// Threads of OpenMP that wait for work spin by default, which takes the processor from those who have some
/// when the machine is shared. Where more than one thread is wanted and the environment says nothing about
/// it, this starts the program anew, with OMP_WAIT_POLICY=passive: the library reads that only when it is
/// loaded. To be called first, before anything is logged or written.
void wait_passively(int64_t threads);

/// Whether it is a failed allocation, of torch or of the library of C++.
bool is_out_of_memory(const std::exception& error);

/// Peak resident memory of the process (CPU) or peak allocated memory on the device (CUDA), in bytes.
int64_t peak_memory_bytes(c10::Device device);

/// As run_program, with the CPU allocator of ops/cpu_memory.h, and maps torch's exceptions: out of memory ->
/// 7, CUDA failures -> 8, the rest -> 70 with the first line only.
int run_torch_program(const std::string& name, const std::function<int()>& body);

}  // namespace lotformer
