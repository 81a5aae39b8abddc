// SPDX-License-Identifier: MIT
// What only the CUDA runtime knows; src/train/device_memory_cuda.cpp, or the stub device_memory_none.cpp in a
// build without CUDA.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lotformer {

std::string cuda_device_name(int index);
/// Peak bytes allocated by torch's caching allocator since the program began or the last reset.
int64_t cuda_peak_bytes(int index);
/// Peak counts from now on.
void cuda_reset_peak_bytes(int index);
/// Bytes of the device that nobody has taken. Error(device) when it cannot be asked.
int64_t cuda_free_bytes(int index);
/// Of the driver, which bounds it (0: there is none), and of the runtime that was built with; 1000 major + 10
/// minor.
struct CudaVersions {
  int driver = 0, runtime = 0;
};
/// Nothing in a build without CUDA.
std::optional<CudaVersions> cuda_versions();
/// Waits for all work on the device (before reading a clock).
void cuda_synchronize(int index);

}  // namespace lotformer
