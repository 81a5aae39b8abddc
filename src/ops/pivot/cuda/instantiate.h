// SPDX-License-Identifier: MIT
// Fills a row of the dispatch table; included by one .cu file a row.
#pragma once

#include "adjoint.h"
#include "apply.h"
#include "kernel_set.h"
#include "output.h"
#include "prices.h"
#include "reduce.h"
#include "solve.h"

namespace lotformer::ops::pivot::cuda {

enum class Scratch { matrix, stage, stage_and_scores };

/// Shared memory of a kernel: the fixed part, `Matrices` matrices, and its scratch, behind which
/// the scores of the resident solver stand where they are in shared memory.
template <class L, int Matrices, Scratch kScratch>
std::size_t shared_bytes(int padded_dim, int stage_rows) {
  std::size_t scratch = scratch_floats<L>(padded_dim, stage_rows);
  if (kScratch == Scratch::matrix) scratch = L::kQuad ? L::R * (padded_dim + kRowPadding) : 0;
  if (kScratch == Scratch::stage_and_scores && L::kInShared) scratch += kResidentValues * L::kThreads;
  return (sizeof(Shared<L>) + 15) / 16 * 16 +
         (Matrices * matrix_floats<L>(padded_dim) + scratch) * sizeof(float);
}

template <class L>
KernelShape resident_shape() {
  return {pivot_solve<L, true>, L::kThreads, L::kUnits * L::kBlockRows,
          shared_bytes<L, 1, Scratch::stage_and_scores>, newton_price(L::R, L::kWarps)};
}

template <class L, class Wide>
KernelSet make_kernel_set() {
  // R <= 8: as many blocks as a thread has scores for would be as many copies of the code.
  using Resident = std::conditional_t<L::kQuad, L, Layout<L::R, L::kWarps, true>>;
  KernelSet set{};
  set.pivots = L::R;
  set.resident[0] = resident_shape<Resident>();
  if constexpr (Wide::kWarps != L::kWarps) set.resident[1] = resident_shape<Wide>();
  set.streamed = {pivot_solve<L, false>, L::kThreads, L::kBlockRows, shared_bytes<L, 1, Scratch::stage>};
  set.output = {pivot_output<L>, L::kThreads, L::kBlockRows, shared_bytes<L, 2, Scratch::matrix>};
  set.adjoint = {pivot_adjoint<L>, L::kThreads, L::kBlockRows, shared_bytes<L, 2, Scratch::stage>};
  set.apply = {pivot_apply<L>, L::kThreads, L::kBlockRows, shared_bytes<L, 2, Scratch::stage>};
  set.reduce = {pivot_reduce<L::R>, kReduceThreads, 1, reduce_shared_bytes};
  return set;
}

}  // namespace lotformer::ops::pivot::cuda

/// R pivots; warps of a CTA; warps of the resident solver where the cluster would otherwise be too large (the
/// same: none).
#define PIVOT_KERNEL_SET(R, WARPS, WIDE)                                                        \
  const lotformer::ops::pivot::cuda::KernelSet& lotformer::ops::pivot::cuda::kernel_set_##R() { \
    static const KernelSet set = make_kernel_set<Layout<R, WARPS>, Layout<R, WIDE, true>>();    \
    return set;                                                                                 \
  }
