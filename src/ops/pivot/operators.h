// SPDX-License-Identifier: MIT
// Pivot attention as registered operators, behind which a device's core stands:
//
//   lotformer::pivot_exact, lotformer::pivot_exact_backward
//   lotformer::pivot_truncated, lotformer::pivot_truncated_backward      modes truncated and reference
//
// Each has a schema, a CPU kernel, a CUDA kernel where the build has CUDA, an autograd rule, an autocast rule
// and shapes for meta tensors, so that graphs capture them. CPU: float32 and float64. CUDA: float32, and bf16
// q, k, v beside float32 pivots and masses; scores, potentials and sums are float32 in either case. Autocast
// raises everything to float32, on CUDA all but q, k and v in bf16. The output is laid out as [B, N, H, D],
// so that joining the heads copies nothing. What a core does not serve is a ValueError here.
//
// `state`, an output, is what the backward operator of the same device reads: one buffer, whose contents and
// size are the core's own (meta tensors: those of the CPU core). `residual` [2, B, H] and `passes` [2, B, H]
// are the solver's, queries first; on CUDA they stay on the device, int32, and share their storage with
// `state`.
#pragma once

#include <c10/core/Device.h>

#include "lotformer/ops/pivot.h"

namespace lotformer::ops {

/// Whether the operators have a kernel for tensors of this device.
bool has_core(c10::Device device);

at::Tensor exact_by_operator(const PivotCall& call, PivotSolveStats* stats);
at::Tensor truncated_by_operator(const PivotCall& call);

}  // namespace lotformer::ops
