// SPDX-License-Identifier: MIT
// B4: gradients that are shared by the batch: sums over batch, side and split. A CTA a pivot of a head: the
// terms are dealt out to groups of threads, a thread a column, and the groups are added in order; one more
// CTA for kappa.
#pragma once

#include "layout.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kReduceThreads = 256;

inline std::size_t reduce_shared_bytes(int, int) {
  return 2 * kReduceThreads * sizeof(float);
}

/// d kappa of both sides of every head.
PIVOT_DEVICE void reduce_relaxation(const PivotArgs& p) {
  if (!p.d_kappa) return;
  for (int element = thread_index(); element < 2 * p.heads; element += kReduceThreads) {
    const int64_t first = static_cast<int64_t>(element / p.heads) * p.batch * p.heads + element % p.heads;
    float sum = 0;
    PIVOT_UNROLL_8
    for (int b = 0; b < p.batch; ++b) sum += p.kappa_part[first + b * p.heads];
    p.d_kappa[element] = sum;
  }
}

template <int R>
PIVOT_KERNEL(kReduceThreads, 1)
pivot_reduce(PivotArgs p) {
  const int row = cta_index(), problems = p.batch * p.heads;
  if (row >= p.heads * p.pivots) {
    reduce_relaxation(p);
    return;
  }
  const int h = row / p.pivots, j = row % p.pivots, thread = thread_index();
  const int bits = 5 + (p.padded_dim >> 6), d = thread & (p.padded_dim - 1), groups = kReduceThreads >> bits;
  float* fold = reinterpret_cast<float*>(shared_memory());  // [2][kReduceThreads]: of z, of sigma
  float sum = 0, mass = 0;
  PIVOT_UNROLL_8
  for (int term = thread >> bits; term < 2 * p.batch * p.splits; term += groups) {
    const int which = term / p.splits;  // batch and side
    const int64_t ps = which % 2 * problems + which / 2 * p.heads + h;
    sum += p.z_part[((ps * p.splits + term % p.splits) * R + j) * p.padded_dim + d];
  }
  PIVOT_UNROLL_8
  for (int which = thread; which < 2 * p.batch; which += kReduceThreads)
    mass += p.sigma_part[static_cast<int64_t>(which % 2 * problems + which / 2 * p.heads + h) * R + j];
  fold[thread] = sum;
  fold[kReduceThreads + thread] = mass;
  cta_sync();
  if (thread < p.head_dim) {
    float total = 0;
    for (int group = 0; group < groups; ++group) total += fold[group * p.padded_dim + d];
    p.d_z[row * p.head_dim + d] = total;
  }
  if (thread < kWarp) {
    float total = 0;
    PIVOT_UNROLL
    for (int i = 0; i < kReduceThreads; i += kWarp) total += fold[kReduceThreads + i + thread];
    total = warp_sum(total);
    if (thread == 0) p.d_sigma[row] = total;
  }
}

}  // namespace lotformer::ops::pivot::cuda
