// SPDX-License-Identifier: MIT
// Memory of CPU tensors. Batches of ever new lengths make the C library's heap grow without end
// (measured: 1.6 GiB after 12 steps of ListOps, 4.2 GiB after 170), so large blocks are kept in size classes
// and used again, as torch does for CUDA.
#pragma once

#include <cstdint>

namespace lotformer::ops {

/// Replaces torch's CPU allocator for the whole process; call before the first tensor is made. Blocks below 1
/// MiB go to the C library. Larger ones are mapped in size classes (at most 1/8 above what is asked for), and
/// a freed one is kept and serves requests of its own class or of one up to a third smaller, so that a block
/// is at most 69 % larger than its tensor. Live and kept blocks together never exceed 1.25 times the largest
/// amount of blocks that was live at once. Thread-safe; a block may be freed on another thread. Returns false
/// and does nothing under AddressSanitizer, which must see every block.
bool install_cpu_allocator();

struct CpuMemory {
  /// Bytes of live tensors, as asked for.
  int64_t in_use = 0;
  /// Largest in_use since the last reset.
  int64_t peak = 0;
  /// Bytes of the live blocks of 1 MiB and more, as mapped.
  int64_t large = 0;
  /// Largest `large` since the start of the process.
  int64_t large_peak = 0;
  /// Bytes of freed blocks that wait for the next use; large + kept <= 1.25 large_peak.
  int64_t kept = 0;
};
/// All zero when the allocator is not installed.
CpuMemory cpu_memory();
void reset_cpu_memory_peak();

}  // namespace lotformer::ops
