// SPDX-License-Identifier: MIT
// The CUDA back end of device_api.h. Approximate instructions by name: there is no global fast-math flag.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <cstdint>

#define PIVOT_KERNEL(threads, ctas) __global__ void __launch_bounds__(threads, ctas)
#define PIVOT_DEVICE __device__ __forceinline__
#define PIVOT_HOST_DEVICE __host__ __device__
#define PIVOT_UNROLL _Pragma("unroll")
#define PIVOT_UNROLL_8 _Pragma("unroll 8")
#define PIVOT_ROLLED _Pragma("unroll 1")

namespace lotformer::ops::pivot::cuda {

PIVOT_DEVICE int thread_index() {
  return static_cast<int>(threadIdx.x);
}
PIVOT_DEVICE int cta_index() {
  return static_cast<int>(blockIdx.x);
}
PIVOT_DEVICE void cta_sync() {
  __syncthreads();
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
PIVOT_DEVICE int cluster_rank() {
  return static_cast<int>(cooperative_groups::this_cluster().block_rank());
}
PIVOT_DEVICE int cluster_size() {
  return static_cast<int>(cooperative_groups::this_cluster().num_blocks());
}
PIVOT_DEVICE void cluster_sync() {
  cooperative_groups::this_cluster().sync();
}
template <class T>
PIVOT_DEVICE T* cluster_peer(T* address, int rank) {
  return cooperative_groups::this_cluster().map_shared_rank(address, rank);
}
#else
PIVOT_DEVICE int cluster_rank() {
  return 0;
}
PIVOT_DEVICE int cluster_size() {
  return 1;
}
PIVOT_DEVICE void cluster_sync() {
  __syncthreads();
}
template <class T>
PIVOT_DEVICE T* cluster_peer(T* address, int) {
  return address;
}
#endif

PIVOT_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(~0u, value, mask);
}
PIVOT_DEVICE float shuffle_from(float value, int lane) {
  return __shfl_sync(~0u, value, lane);
}
PIVOT_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
PIVOT_DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
PIVOT_DEVICE float invert_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
PIVOT_DEVICE uint32_t pack_bf16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
PIVOT_DEVICE void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
PIVOT_DEVICE void load_transposed(uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
PIVOT_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char pivot_dynamic_shared[];
  return pivot_dynamic_shared;
}

}  // namespace lotformer::ops::pivot::cuda
