// SPDX-License-Identifier: MIT
// The matrix of scores as the solver sees it, in one of two forms.
//
// Resident:
//   K_ij = 2^(S_ij - max_l S_il) in registers (or shared memory) for the whole solve, potentials as factors
//   b_j = 2^(h_j - max h) (scaling form): two multiply-adds an element and evaluation, no exponential. Out of
//   range when potentials spread over more than 2^96 or a sum falls below 2^-100: the problem is flagged.
// Streamed:
//   S_ij computed anew, block by block, in each sweep, potentials added before the exponential (log domain):
//   any number of tokens, any scores. It also redoes the flagged problems.
#pragma once

#include "outer_sum.h"

namespace lotformer::ops::pivot::cuda {

constexpr float kSmallestSum = 0x1p-100f;
constexpr float kWidestSpread = 96;

template <class L, bool kResident>
struct Tiles;

/// In registers, or (L::kInShared) thread after thread in shared memory, from where a block at a time is in
/// registers.
template <class L>
struct Tiles<L, true> {
  float k[L::kInShared ? 1 : L::kUnits][L::kUnitRows][L::kCols];
};
template <class L>
struct Tiles<L, false> {
  RowSource x;
  float clamp;
  int pivots;
};

/// S of one block: clamped, kNoScore at columns that are not pivots.
template <class L>
PIVOT_DEVICE void scores(const Cta<L>& cta, const RowSource& x, int block, float clamp, int pivots,
                         Unit<L>& s) {
  token_products(cta, x, block, cta.matrix[0], s);
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) {
    const bool real = cta.column(c) < pivots;
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      const float bounded = s[i][c] > clamp ? clamp : s[i][c] < -clamp ? -clamp : s[i][c];  // NaN stays NaN
      s[i][c] = real ? bounded : kNoScore;
    }
  }
}

/// Moves a block of the calling thread between registers and shared memory.
template <class L, bool kStore>
PIVOT_DEVICE void move_block(const Cta<L>& cta, int block, Unit<L>& unit) {
  float* place = cta.scores + block * (L::kUnitRows * L::kCols * L::kThreads) + thread_index();
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) {
      float& element = place[(i * L::kCols + c) * L::kThreads];
      if (kStore) {
        element = unit[i][c];
      } else {
        unit[i][c] = element;
      }
    }
  }
}

template <class L, class F>
PIVOT_DEVICE void for_blocks(const Cta<L>& cta, Tiles<L, true>& tiles, F f) {
  if constexpr (L::kInShared) {
    PIVOT_ROLLED
    for (int u = 0; u < L::kUnits; ++u) {
      move_block<L, false>(cta, u, tiles.k[0]);
      f(u, tiles.k[0]);
    }
  } else {
    PIVOT_UNROLL
    for (int u = 0; u < L::kUnits; ++u) f(u, tiles.k[u]);
  }
}
template <class L, class F>
PIVOT_DEVICE void for_blocks(const Cta<L>& cta, Tiles<L, false>& tiles, F f) {
  PIVOT_ROLLED
  for (int b = 0; b < cta.rows.blocks; ++b) {
    Unit<L> s;
    scores(cta, tiles.x, b, tiles.clamp, tiles.pivots, s);
    f(b, s);
  }
}

template <class L>
PIVOT_DEVICE void load_tiles(const Cta<L>& cta, Tiles<L, true>& tiles, const RowSource& x, float clamp,
                             int pivots) {
  if constexpr (L::kInShared) {
    PIVOT_ROLLED
    for (int u = 0; u < L::kUnits; ++u) {
      scores(cta, x, u, clamp, pivots, tiles.k[0]);
      move_block<L, true>(cta, u, tiles.k[0]);
    }
  } else {
    PIVOT_UNROLL
    for (int u = 0; u < L::kUnits; ++u) scores(cta, x, u, clamp, pivots, tiles.k[u]);
  }
}
template <class L>
PIVOT_DEVICE void load_tiles(const Cta<L>&, Tiles<L, false>& tiles, const RowSource& x, float clamp,
                             int pivots) {
  tiles = {x, clamp, pivots};
}

/// From scores to the form that is iterated on.
template <class L>
PIVOT_DEVICE void make_kernel(const Cta<L>& cta, Tiles<L, true>& tiles) {
  for_blocks(cta, tiles, [&](int block, Unit<L>& unit) {
    PIVOT_UNROLL
    for (int i = 0; i < L::kUnitRows; ++i) {
      float(&k)[L::kCols] = unit[i];
      float largest = k[0];
      PIVOT_UNROLL
      for (int c = 1; c < L::kCols; ++c) largest = fmaxf(largest, k[c]);
      largest = row_max<L>(largest);
      const bool live = cta.row(block, i) < cta.rows.real;
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) k[c] = live ? exp2_fast(k[c] - largest) : 0.0f;
    }
    if constexpr (L::kInShared) move_block<L, true>(cta, block, unit);
  });
}
template <class L>
PIVOT_DEVICE void make_kernel(const Cta<L>&, Tiles<L, false>&) {}

/// What the threads keep of the potentials under evaluation: factors or exponents of their columns.
template <class L, bool kResident>
PIVOT_DEVICE void read_point(const Cta<L>& cta, float (&point)[L::kCols]) {
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c)
    point[c] = (kResident ? cta.shared.weight : cta.shared.trial)[cta.column(c)];
}

/// A row's normaliser: p_ij = probability(...) below. `log_sum` is what the dual needs.
struct RowNorm {
  float value, log_sum;
  bool in_range;
};

template <class L>
PIVOT_DEVICE RowNorm row_norm(const Tiles<L, true>&, const float (&k)[L::kCols],
                              const float (&point)[L::kCols], bool live) {
  float sum = 0;
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) sum = fmaf(k[c], point[c], sum);
  sum = row_sum<L>(sum);
  if (!live) return {0, 0, true};
  return {invert_fast(sum), log2_fast(sum), sum > kSmallestSum};
}
template <class L>
PIVOT_DEVICE RowNorm row_norm(const Tiles<L, false>&, const float (&s)[L::kCols],
                              const float (&point)[L::kCols], bool live) {
  float largest = s[0] + point[0], unweighted = s[0];
  PIVOT_UNROLL
  for (int c = 1; c < L::kCols; ++c) {
    largest = fmaxf(largest, s[c] + point[c]);
    unweighted = fmaxf(unweighted, s[c]);
  }
  largest = row_max<L>(largest);
  unweighted = row_max<L>(unweighted);
  float sum = 0;
  PIVOT_UNROLL
  for (int c = 0; c < L::kCols; ++c) sum += exp2_fast(s[c] + point[c] - largest);
  sum = row_sum<L>(sum);
  if (!live) return {-kNoScore, 0, true};  // 2^(s - 1e30) = 0
  const float log_sum = largest + log2_fast(sum);
  return {log_sum, log_sum - unweighted, true};
}

template <class L>
PIVOT_DEVICE float probability(const Tiles<L, true>&, float k, float point, const RowNorm& norm) {
  return k * point * norm.value;
}
template <class L>
PIVOT_DEVICE float probability(const Tiles<L, false>&, float s, float point, const RowNorm& norm) {
  return exp2_fast(s + point - norm.value);
}

/// The normaliser with which probability(...) is `weight` times p.
PIVOT_DEVICE RowNorm weighed(const bool resident, RowNorm norm, float weight) {
  norm.value = resident ? norm.value * weight : norm.value - log2f(weight);
  return norm;
}

/// Weights of the outer products sum_i a_i p_i. u_i.: p with its share of the mass, where tokens have masses
/// (else all share one, which the sum is multiplied with in the end). kRoot: the root of it, for u = p.
template <class L, bool kResident>
PIVOT_DEVICE RowNorm outer_norm(const Cta<L>& cta, const Tiles<L, kResident>& tiles, int block, int i,
                                const float (&row)[L::kCols], const float (&point)[L::kCols], bool root) {
  const RowNorm norm = row_norm(tiles, row, point, cta.row(block, i) < cta.rows.real);
  if (!cta.rows.masses) return norm;
  const float mass = cta.share(block, i);
  return weighed(kResident, norm, root ? sqrtf(mass) : mass);
}

/// Stages p of one block.
template <class L, bool kResident>
PIVOT_DEVICE void write_probabilities(const Cta<L>& cta, const Tiles<L, kResident>& tiles, int block,
                                      const Unit<L>& s, const float (&point)[L::kCols], const Stage& stage,
                                      int place, bool root) {
  RowNorm norm[L::kUnitRows];
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) norm[i] = outer_norm(cta, tiles, block, i, s[i], point, root);
  write_weights(cta, stage, place,
                [&](int i, int c) { return probability(tiles, s[i][c], point[c], norm[i]); });
}

/// p of one block from the form that is iterated on.
template <class L, bool kResident>
PIVOT_DEVICE void block_probabilities(const Cta<L>& cta, const Tiles<L, kResident>& tiles, int block,
                                      const Unit<L>& s, const float (&point)[L::kCols], Unit<L>& p) {
  PIVOT_UNROLL
  for (int i = 0; i < L::kUnitRows; ++i) {
    const RowNorm norm = row_norm(tiles, s[i], point, cta.row(block, i) < cta.rows.real);
    PIVOT_UNROLL
    for (int c = 0; c < L::kCols; ++c) p[i][c] = probability(tiles, s[i][c], point[c], norm);
  }
}

/// sum += p_i. u_i. over the rows of this CTA (outer_sum.h), with the masses of the tokens where there are
/// some; `source` null: u = p.
template <class L, bool kResident, class Outer>
PIVOT_DEVICE void sum_outer(const Cta<L>& cta, Tiles<L, kResident>& tiles, const float (&point)[L::kCols],
                            const RowSource* source, Outer& sum) {
  for_blocks(cta, tiles, [&](int block, const Unit<L>& s) {
    if constexpr (L::kQuad) {
      add_block(cta, sum, block, source, [&](const Stage& stage, int place) {
        write_probabilities(cta, tiles, block, s, point, stage, place, source == nullptr);
      });
    } else {
      Unit<L> p;
      const RowNorm norm = outer_norm(cta, tiles, block, 0, s[0], point, source == nullptr);
      PIVOT_UNROLL
      for (int c = 0; c < L::kCols; ++c) p[0][c] = probability(tiles, s[0][c], point[c], norm);
      if constexpr (std::is_same_v<Outer, SmallGram<L>>) {
        sum.add(p);
      } else {
        sum.add(cta, block, *source, p, cta.stride - kRowPadding);
      }
    }
  });
}

}  // namespace lotformer::ops::pivot::cuda
