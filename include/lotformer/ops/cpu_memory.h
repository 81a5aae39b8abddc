// SPDX-License-Identifier: MIT
// Memory of CPU tensors. Batches of ever new lengths make the C library's heap grow without end (measured: 1.6 GiB after 12 steps
// of ListOps, 4.2 GiB after 170), so large blocks are kept in size classes and used again, as torch does for CUDA.
#pragma once

#include <cstdint>

namespace lotformer::ops {

/// Replaces torch's CPU allocator for the whole process; call before the first tensor is made. Blocks below 1 MiB go to the C
/// library. Larger ones are rounded up by at most 1/8, mapped, and kept when freed as long as no more is kept than the largest
/// amount that was in use at once. Thread-safe. Does nothing under AddressSanitizer, which must see every block.
void install_cpu_allocator();

struct CpuMemory {
  int64_t in_use = 0;  ///< bytes of live tensors, as asked for
  int64_t peak = 0;    ///< largest in_use since the last reset
  int64_t kept = 0;    ///< bytes of freed blocks that wait for the next use
};
/// All zero when the allocator is not installed.
CpuMemory cpu_memory();
void reset_cpu_memory_peak();

}  // namespace lotformer::ops
