// SPDX-License-Identifier: MIT
// F2: O_i = p_i . W, scores computed anew. Grid: problems x splits. Padded rows are
// written as zeros; in mode reference there are none.
#pragma once

#include "glue.h"

namespace lotformer::ops::pivot::cuda {

/// p of one block at the potentials `h` [R] in global memory.
template <class L>
PIVOT_DEVICE void probabilities(const Cta<L>& cta, const Tiles<L, false>& tiles, int block, const Unit<L>& s,
                                const float* h, Unit<L>& p) {
  float point[L::kCols];
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) point[c] = h[cta.column(c)];
  block_probabilities(cta, tiles, block, s, point, p);
}

/// Potentials of the plan, [R] in global memory.
template <class L>
PIVOT_DEVICE const float* plan_potentials(const PivotArgs& p, int ps, int side) {
  const int at = p.mode == Mode::exact ? 0 : schedule_of(p.half_iterations, side).at;
  return p.potentials + (static_cast<int64_t>(ps) * (p.steps + 1) + at) * L::R;
}

/// CTAs of a backward kernel that share a multiprocessor, as far as registers go.
template <class L>
constexpr int kSweepCtas = L::R <= 64 ? 2 : 1;

template <class L>
PIVOT_KERNEL(L::kThreads, (L::R <= 64 ? 2 : 1))
pivot_output(PivotArgs p) {
  Cta<L> cta = make_cta<L>(p, 2);
  const int problem = cta_index() / p.splits, split = cta_index() % p.splits, b = problem / p.heads,
            h = problem % p.heads;
  const int real = real_tokens(p, b);
  cta.rows = share_of<L>(p.tokens, p.tokens, split, p.splits, false);
  cta.rows.real = real;
  const RowTarget out = row_target(p, p.out, b, h);
  load_operand(cta, cta.matrix[0], p.z + static_cast<int64_t>(h) * p.pivots * p.head_dim, p.pivots,
               p.head_dim, p.log_scale);
  load_side_matrix(cta, p, 0, problem, cta.matrix[1]);
  Tiles<L, false> tiles{row_source(p, p.q, b, h, real), p.clamp, p.pivots};
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    Unit<L> weights;
    probabilities(cta, tiles, block, s, plan_potentials<L>(p, problem, 0), weights);
    pivot_products(cta, weights, cta.matrix[1], [&](int i, int column, Pair x) {
      const int row = cta.row(block, i);
      out.store(row, column, row < real ? x : Pair{0, 0});
    });
  });
}

}  // namespace lotformer::ops::pivot::cuda
