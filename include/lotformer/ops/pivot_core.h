// SPDX-License-Identifier: MIT
// Attention through r pivots (pivot_attention.h) as registered operators: the CPU core of src/ops/pivot/cpu, and on a GPU whatever is
// registered for it. Same arguments, same meaning as the functions of pivot_attention.h, which remain the oracle.
//
//   lotformer::pivot_exact, lotformer::pivot_exact_backward
//   lotformer::pivot_truncated, lotformer::pivot_truncated_backward
//
// Each has a schema, a CPU kernel, a CUDA kernel where the build has CUDA (src/ops/pivot/cuda), an autograd rule, an autocast rule and
// shapes for meta tensors, so that graphs capture them. CPU: float32 and float64. CUDA: float32, and bf16 q, k, v beside float32 pivots
// and masses; scores, potentials and sums are float32 in either case. Autocast raises everything to float32, on CUDA all but q, k and v
// in bf16. The output is laid out as [B, N, H, D], so that joining the heads copies nothing.
//
// `state`, an output, is what the backward operator of the same device reads: one buffer, whose contents and size are the core's own
// (meta tensors: those of the CPU core). `residual` [2, B, H] and `passes` [2, B, H] are the solver's, queries first; on CUDA they stay on
// the device, int32, and share their storage with `state`.
//
// What the CUDA core does not serve (float64, more than 128 pivots, odd head dimensions or such above 64, masses of tokens) the functions
// below compute by plain ATen, and say so once a process and reason. The operators themselves raise ValueError there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "lotformer/ops/pivot_attention.h"

namespace lotformer::ops {

/// As pivot_attention_exact, through lotformer::pivot_exact. `kappa` [2, H] = epsilon / rho of query and key side, differentiable:
/// 0 the marginal is held, infinity it is free; undefined: zeros. `masses` of the tokens: see TokenMasses. Error(usage) where no kernel is
/// registered for the device.
at::Tensor pivot_core_exact(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& pivots, const at::Tensor& sigma, const at::Tensor& lengths,
                            double epsilon, const PivotSolverOptions& options,
                            PivotSolveStats* stats = nullptr, const at::Tensor& kappa = {},
                            const TokenMasses& masses = {});

/// As pivot_attention_truncated.
at::Tensor pivot_core_truncated(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& pivots, const at::Tensor& log_sigma,
                                const at::Tensor& lengths, double epsilon, int64_t half_iterations);

/// As pivot_attention_reference.
at::Tensor pivot_core_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& pivots, double epsilon, int64_t half_iterations);

/// Whether the operators have a kernel for tensors of this device.
bool pivot_core_on(c10::Device device);
/// Whether q, k and v of this type may be handed to it beside pivots and masses in float32, or in float64 beside float64.
bool pivot_core_takes(c10::Device device, at::ScalarType type);

}  // namespace lotformer::ops
