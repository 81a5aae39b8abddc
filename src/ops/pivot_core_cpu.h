// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "pivot_core_shared.h"

namespace lotformer::ops {

/// Of the converged problems, parts of one buffer; side 0 = queries, 1 = keys.
struct PivotState {
  at::Tensor potentials, marginal;  // [2, B, H, r]
  at::Tensor gram;                  // [2, B, H, r, r], without elements where no gradient is wanted
  at::Tensor summary;               // [B, H, r, D]
  at::Tensor residual, passes;      // [2, B, H]; undefined in a backward call
};

/// A run of T half-iterations: [2, B, H, trajectory_rows(T), 2, r] and U [B, H, r, D], parts of one buffer.
struct UnrolledRun {
  int64_t half_iterations;
  bool reference;
  at::Tensor trajectory, summary;
};

int64_t trajectory_rows(int64_t half_iterations);

namespace core_cpu {

/// Fills `out` and `state`, which have been allocated.
void exact(const PivotArguments& arguments, double tolerance, int64_t max_passes, const at::Tensor& out,
           const PivotState& state);
void exact_backward(const PivotArguments& arguments, const at::Tensor& d_out, const PivotState& state,
                    const PivotGradients& gradients);

/// `arguments.sigma` is log sigma.
void unrolled(const PivotArguments& arguments, const UnrolledRun& run, const at::Tensor& out);
void unrolled_backward(const PivotArguments& arguments, const UnrolledRun& run, const at::Tensor& d_out,
                       const PivotGradients& gradients);

}  // namespace core_cpu
}  // namespace lotformer::ops
