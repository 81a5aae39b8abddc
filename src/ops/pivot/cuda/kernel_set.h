// SPDX-License-Identifier: MIT
// The kernels of one number of pivots R, as the host sees them: a row of the dispatch table. One R is one
// translation unit.
#pragma once

#include <cstddef>

#include "params.h"

namespace lotformer::ops::pivot::cuda {

using Kernel = void (*)(PivotArgs);

struct KernelShape {
  Kernel kernel;
  int threads;
  int rows;  // tokens a CTA takes at a time; reduce: pivots
  std::size_t (*shared_bytes)(int padded_dim, int stage_rows);
  float newton_price = 1;  // solvers: of a Newton step in Sinkhorn steps (prices.h)
};

struct KernelSet {
  int pivots;               // R: serves every number of pivots above the row before
  KernelShape resident[2];  // the first is preferred in clusters of the same size; null: there is none
  KernelShape streamed, output, adjoint, apply, reduce;
};

const KernelSet& kernel_set_4();
const KernelSet& kernel_set_8();
const KernelSet& kernel_set_16();
const KernelSet& kernel_set_32();
const KernelSet& kernel_set_64();
const KernelSet& kernel_set_128();

}  // namespace lotformer::ops::pivot::cuda
