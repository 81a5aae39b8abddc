// SPDX-License-Identifier: MIT
// Attention through r pivots (pivot_attention.h) as registered operators: the CPU core of src/ops/lot_cpu, and on a GPU whatever is
// registered for it. Same arguments, same meaning as the functions of pivot_attention.h, which remain the oracle.
//
//   lotformer::pivot_exact, lotformer::pivot_exact_backward
//   lotformer::pivot_unrolled, lotformer::pivot_unrolled_backward
//
// Each has a schema, a CPU kernel, an autograd rule, an autocast rule (float32 at least), and shapes for meta tensors, so that graphs
// capture them. float32 and float64; the output is laid out as [B, N, H, D], so that joining the heads copies nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "lotformer/ops/pivot_attention.h"

namespace lotformer::ops {

/// As pivot_attention_exact, through lotformer::pivot_exact. `kappa` [2, H] = epsilon / rho of query and key side, differentiable:
/// 0 the marginal is held, infinity it is free; undefined: zeros. Error(usage) where no kernel is registered for the device.
at::Tensor pivot_core_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                            double epsilon, const PivotSolverOptions& options,
                            PivotSolveStats* stats = nullptr, const at::Tensor& kappa = {});

/// As pivot_attention_truncated.
at::Tensor pivot_core_truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& pivots, const at::Tensor& log_sigma,
                                const at::Tensor& lengths, double epsilon, int64_t half_iterations);

/// As pivot_attention_reference.
at::Tensor pivot_core_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& pivots, double epsilon, int64_t half_iterations);

/// Whether the operators have a kernel for tensors of this device.
bool pivot_core_on(c10::Device device);

}  // namespace lotformer::ops
