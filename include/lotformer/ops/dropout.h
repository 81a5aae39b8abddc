// SPDX-License-Identifier: MIT
// Dropout for the CPU. torch's draws its numbers one after the other on one thread (measured: a third of a
// training step of ListOps on two threads), and keeps a mask for the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer::ops {

/// Each value of x is 0 with probability p, else x / (1 - p). p in [0, 1); p = 0 and train = false return x
/// itself.
///   x : any shape and strides; float32, float64, bfloat16 on the CPU; everything else goes to at::dropout
/// What is dropped is a function of (one draw from the default CPU generator, index of the value in row-major
/// order): no mask is stored, the result does not depend on the number of threads, and calls differ. The draw
/// is one number whatever the shape.
at::Tensor dropout(const at::Tensor& x, double p, bool train);

/// residual + dropout(x, p, train) in one sweep. Shapes must agree; where dtypes differ the sum is at::add of
/// the two.
at::Tensor add_dropout(const at::Tensor& residual, const at::Tensor& x, double p, bool train);

/// The draw: 63 random bits from the default CPU generator, other ones in every stream.
uint64_t draw_seed();

/// Which stream the draws of this process are of (0 at first). Processes whose generators have the same seed
/// then drop different values and still draw the same numbers for all else.
void set_dropout_stream(uint64_t stream);

}  // namespace lotformer::ops
