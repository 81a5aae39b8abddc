// SPDX-License-Identifier: MIT
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ops/pivot/call.h"

namespace lotformer::ops {

/// Of the converged problems, parts of one buffer; side 0 = queries, 1 = keys.
struct PivotState {
  at::Tensor potentials, marginal;  // [2, B, H, r]
  at::Tensor gram;                  // [2, B, H, r, r], without elements where no gradient is wanted
  at::Tensor summary;               // [B, H, r, D]
  at::Tensor residual, passes;      // [2, B, H]; undefined in a backward call
};

/// A run of T half-iterations: [2, B, H, trajectory_rows(T), 2, r] and U [B, H, r, D], parts of one buffer.
struct TruncatedRun {
  int64_t half_iterations;
  bool reference;
  at::Tensor trajectory, summary;
};

int64_t trajectory_rows(int64_t half_iterations);

namespace pivot::cpu::bind {

/// Fills `out` and `state`, which have been allocated.
void exact(const PivotArguments& arguments, double tolerance, int64_t max_passes, const at::Tensor& out,
           const PivotState& state);
void exact_backward(const PivotArguments& arguments, const at::Tensor& d_out, const PivotState& state,
                    const PivotGradients& gradients);

/// `arguments.sigma` is log sigma.
void truncated(const PivotArguments& arguments, const TruncatedRun& run, const at::Tensor& out);
void truncated_backward(const PivotArguments& arguments, const TruncatedRun& run, const at::Tensor& d_out,
                        const PivotGradients& gradients);

}  // namespace pivot::cpu::bind
}  // namespace lotformer::ops
