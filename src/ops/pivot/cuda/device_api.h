// SPDX-License-Identifier: MIT
// What the kernels need from a machine, under names that do not belong to CUDA, so that one source has two
// back ends:
//   device_cuda.h              intrinsics (nvcc)
//   tests/ops/pivot/cuda/emulator.h  a fibre per thread on the CPU (g++, LOTFORMER_EMULATE_CUDA)
// Each back end offers, in namespace lotformer::ops::pivot::cuda:
//   thread_index, cta_index           threadIdx.x, blockIdx.x
//   cluster_rank, cluster_size        place of the CTA in its cluster; 0 and 1 where the target has no
//                                     clusters
//   cta_sync, cluster_sync            barriers; cluster_sync orders shared memory of the cluster and global
//                                     memory
//   cluster_peer(p, rank)             the address that p, in shared memory, has in another CTA of the cluster
//   shuffle_xor, shuffle_from         exchange inside a warp, all 32 lanes
//   exp2_fast, log2_fast, invert_fast approximate, subnormal results are 0
//   mma_bf16, pack_bf16               m16n8k16 product of bf16 pairs with float32 accumulation; round to
//                                     nearest even
//   load_transposed                   four 8 x 8 matrices of 16-bit numbers from shared memory, transposed
//                                     (ldmatrix.x4.trans): lane 8 m + i brings the address of row i of matrix
//                                     m, 16-byte aligned; lane 4 g + q receives rows 2q, 2q + 1 of column g
//   shared_memory                     dynamic shared memory of the CTA, 16-byte aligned
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(LOTFORMER_EMULATE_CUDA)
#include "ops/pivot/cuda/emulator.h"
#else
#include "device_cuda.h"
#endif

namespace lotformer::ops::pivot::cuda {

constexpr int kWarp = 32;

struct Pair {
  float x, y;
};
struct alignas(8) PackedQuad {  // four bf16 numbers
  uint32_t low, high;
};
struct alignas(16) Quad {
  float x, y, z, w;
};

PIVOT_DEVICE float bits_to_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// The two numbers of a packed bf16 pair.
PIVOT_DEVICE Pair unpack_bf16(uint32_t pair) {
  return {bits_to_float(pair << 16), bits_to_float(pair & 0xffff0000u)};
}

}  // namespace lotformer::ops::pivot::cuda
