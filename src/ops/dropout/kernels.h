// SPDX-License-Identifier: MIT
// Inner loops of dropout on the CPU, compiled for the instruction sets of the last ten years and chosen at
// run time. Without torch.
#pragma once

#include <cstdint>

#include "mask.h"

namespace lotformer::ops {

/// bfloat16 as it lies in memory. Arithmetic is float32, rounded to nearest even once at the end.
struct Bfloat16Bits {
  uint16_t bits;
};

/// out[i] = residual[i] + (x[i] * scale if value i is kept, else 0). `residual` may be null (zero), `out` may
/// be `x` or `residual`. n at most 2^32. float, double, Bfloat16Bits.
template <class T>
void drop(const DropoutMask& mask, int64_t n, const T* residual, const T* x, T* out);

/// Softmax with dropout on its weights, backward. For rows of w (softmax weights) and d = dL/d(dropped w),
/// with inner = sum_j w_j dL/dw_j of each row: d := dL/d(scores), w := dropped w, in one sweep. rows *
/// columns at most 2^32. float, double.
template <class T>
void drop_softmax_backward(const DropoutMask& mask, int64_t rows, int64_t columns, const T* inner, T* w,
                           T* d);

}  // namespace lotformer::ops
