// SPDX-License-Identifier: MIT
// B4: gradients that are shared by the batch: sums over batch, side and split in the order of the indices. A
// thread an element.
#pragma once

#include "layout.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kReduceThreads = 128;

/// `element` = side * heads + head of d_kappa.
PIVOT_DEVICE void reduce_relaxation(const PivotArgs& p, int element) {
  if (!p.d_kappa || element >= 2 * p.heads) return;
  const int64_t first = static_cast<int64_t>(element / p.heads) * p.batch * p.heads + element % p.heads;
  float sum = 0;
  for (int b = 0; b < p.batch; ++b) sum += p.kappa_part[first + b * p.heads];
  p.d_kappa[element] = sum;
}

template <int R>
PIVOT_KERNEL(kReduceThreads, 1)
pivot_reduce(PivotArgs p) {
  const int element = cta_index() * kReduceThreads + thread_index();
  const int each = p.pivots * (p.head_dim + 1);  // the last column is sigma
  if (element >= p.heads * each) {
    reduce_relaxation(p, element - p.heads * each);
    return;
  }
  const int h = element / each, j = element % each / (p.head_dim + 1), d = element % (p.head_dim + 1);
  const int problems = p.batch * p.heads;
  float sum = 0;
  for (int b = 0; b < p.batch; ++b) {
    for (int side = 0; side < 2; ++side) {
      const int64_t ps = side * problems + b * p.heads + h;
      if (d == p.head_dim) {
        sum += p.sigma_part[ps * R + j];
      } else {
        for (int split = 0; split < p.splits; ++split)
          sum += p.z_part[((ps * p.splits + split) * R + j) * p.padded_dim + d];
      }
    }
  }
  if (d == p.head_dim) {
    p.d_sigma[h * p.pivots + j] = sum;
  } else {
    p.d_z[(h * p.pivots + j) * p.head_dim + d] = sum;
  }
}

}  // namespace lotformer::ops::pivot::cuda
