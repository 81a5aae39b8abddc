// SPDX-License-Identifier: MIT
// The one argument structure of all kernels: plain numbers and device pointers.
//
// P = batch * heads problems with two sides each. "ps" is the index of one side of a problem: ps = side * P +
// batch * heads + head, side 0 = queries, 1 = keys. R = pivots rounded up to 4, 8, 16, ..., 128; D = head_dim
// rounded up to a multiple of 32. Potentials are in units of epsilon * ln 2, so that every exponential is a
// power of two.
#pragma once

#include <cstdint>

namespace lotformer::ops::pivot::cuda {

enum class Mode : int { exact, truncated, reference };

/// [batch, heads, tokens, head_dim], strides in elements, last one 1; float32 or bf16 as PivotArgs::bf16
/// says.
struct RowTensor {
  void* data;
  int64_t batch_stride, head_stride, token_stride;
};

struct PivotArgs {
  // shapes
  int batch, heads, tokens, pivots, head_dim, padded_dim;
  int bf16;
  int wide;  // rows of all tokens can be read four numbers at a time
  // problem
  Mode mode;
  int half_iterations;  // truncated and reference
  float tolerance;      // exact
  int max_passes;       // exact
  float newton_price;   // exact: what a Newton step costs in Sinkhorn steps (newton_rules.h)
  float log_scale;      // log2(e) / (sqrt(head_dim) epsilon): scores in powers of two
  float clamp;          // bound of |score| in powers of two, infinity for none
  // launch
  int gradients;     // solve, exact: keep the Gram matrix for a backward pass
  int only_flagged;  // solve: leave alone what is not flagged
  int clusters;      // streamed solve: how many share the sides
  int side;          // adjoint: which side
  int splits;        // output, apply: CTAs a side of a problem
  int stage_rows;    // where R >= 16: rows that are staged at a time
  // tensors
  RowTensor q, k, v, out, d_out, d_q, d_k, d_v;
  const float* z;          // pivots [heads, pivots, head_dim]
  const float* sigma;      // [heads, pivots], rows sum to 1
  const float* kappa;      // [2, heads] or null: marginals are held
  const int64_t* lengths;  // [batch] or null: every token is real
  const float* masses[2];  // a of the tokens of a side [batch, heads, tokens], or null: 1 / n; exact
  float* d_z;              // [heads, pivots, head_dim]
  float* d_sigma;          // [heads, pivots]
  float* d_kappa;          // [2, heads] or null
  float* d_masses[2];      // [batch, heads, tokens], where there are masses
  // state kept from forward to backward
  float* potentials;  // [2P, steps + 1, R]; exact: steps = 0
  float* marginal;    // c [2P, R], exact
  float* gram;        // G [2P, R, R], exact
  float* pooled;      // Y [P, R, D]: Y_j = sum_k a_k p_kj V_k
  float* residual;    // [2P]
  int* passes;        // [2P]
  int* flag;          // [2P]: 1 where the scaling form left the range of float32
  int steps;          // room for pivot updates in `potentials`
  // scratch
  float* partial;     // solve, adjoint: [2P, cluster, R * max(R, D)]
  float* d_pooled;    // [P, R, D]: sum_i p_ij dO_i
  float* adjoint;     // [2P, steps + 2, R]
  float* sigma_part;  // [2P, R]
  float* z_part;      // [2P, splits, R, D]
  float* kappa_part;  // [2P], exact
};

/// What the fixed number of half-iterations comes to on one side. Keys begin with a pivot update, from which
/// potentials[0] comes; then, as on the query side from potential 0, tokens and pivots alternate.
struct Schedule {
  int updates;      // pivot updates after potentials[0]
  bool pivot_last;  // the plan is p(potentials[at]) times sigma / c, the last update; else it is
                    // p(potentials[at])
  int at;           // potentials of the plan
};

}  // namespace lotformer::ops::pivot::cuda
