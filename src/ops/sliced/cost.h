// SPDX-License-Identifier: MIT
// The cost of one slice, D = sum_ab C_ab (U^T V)_ab, in node form. With K = S B S^T on both sides and q = 1 /
// (Z_x Z_y)
//   D = sum_r q_r (K_x C K_y)_rr = sum_r q_r S_x[r] P S_y[r]^T,   P = B_x M B_y,   M = S_x^T C S_y.
// Rank r meets only the block (box of x_r, box of y_r) of P. These blocks form a staircase, so M is needed in
// a band.
#pragma once

#include <cstdint>
#include <vector>

#include "problem.h"

namespace lotformer::ops {

template <class T>
constexpr int64_t kStride = GaussKernel<T>::kStride;
/// Columns of a block, padded to whole vectors.
template <class T>
constexpr int64_t kPadded = (kStride<T> * sizeof(T) + 63) / 64 * 64 / sizeof(T);

template <class T>
T dot(const T* a, const T* b, int64_t count) {
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

/// A matrix over (nodes of x, nodes of y) with one interval of columns for each box of x.
template <class T>
struct NodeBand {
  struct Interval {
    int64_t begin, width, offset;
  };
  /// One for each box of x.
  std::vector<Interval> intervals;
  Scratch<T> data;
  T* rows(int64_t box) { return data.data() + intervals[box].offset; }
  /// Row 0 of `box` at column `node`.
  T* at(int64_t box, int64_t node) { return rows(box) + node - intervals[box].begin; }
};

/// Scratch shared by the slices of a chunk, for one tile of tokens x against all n tokens y.
template <class T>
struct CostTile {
  /// At most kTileTokens.
  std::vector<int64_t> tokens;
  /// [D, tile].
  Scratch<T> x;
  /// [n, tile].
  Scratch<T> distance;
  /// [n, tile], backward only.
  Scratch<T> d_distance;
  /// C S_y as [nodes, tile] and [tile, nodes].
  Scratch<T> columns, rows;
  Scratch<T> map_rows, map_columns;
  /// Rows of S_x, [tile, stride].
  Scratch<T> weights;
  /// Tokens of the tile in the order of x.
  std::vector<int64_t> place;
};

template <class T>
class SliceCost {
 public:
  SliceCost(const SlicedProblem<T>& problem, int64_t slice);

  /// M += the share of a tile.
  void add_tile(CostTile<T>& tile);
  /// D / factor from the finished M.
  double total();

  /// Before the tiles of a backward pass.
  void prepare_backward();
  /// add_tile, and: tile.d_distance += d_cost * (U^T V), pulls on the values of the slice as sources.
  void add_tile_backward(CostTile<T>& tile, T d_cost);
  /// After the tiles: adds d_cost times the gradient of D / factor to column `slice` of the slice gradients.
  void add_gradient(T d_cost, T* d_x, T* d_y, int64_t stride);

 private:
  using Band = NodeBand<T>;
  /// Ranks [first, first + count) in one block.
  struct Run {
    int64_t x_box, y_box, first, count;
  };
  void make_bands();
  void project(CostTile<T>& tile);
  void collect(CostTile<T>& tile);
  void expand(CostTile<T>& tile, Band& map);
  void pull_sources(CostTile<T>& tile, T d_cost);
  void make_map(GaussForm x_form, GaussForm y_form, Band& map);
  /// B_x M over the inner band.
  Band left_product(GaussForm form);
  /// q_r S_x[r] (left B_y^T) S_y[r]^T of every rank.
  Scratch<T> rank_values(Band& left, GaussForm y_form);
  void finish_side(SortedSide<T>& side, const Scratch<T>& cost, const Scratch<T>& target,
                   const Scratch<T>& source, T d_cost, T* gradient, int64_t stride);
  std::vector<std::pair<int64_t, int64_t>> tile_runs(const CostTile<T>& tile) const;

  int64_t tokens_;
  SortedSide<T> x_, y_;
  /// Of each token.
  Scratch<int64_t> x_rank_;
  Scratch<T> q_;
  std::vector<Run> runs_;
  /// Layouts: blocks around the staircase; M.
  Band inner_, moments_;
  /// U^T V between nodes, and its derivatives.
  Band map_, map_x_, map_y_;
  /// By token.
  Scratch<T> source_x_, source_y_;
};

}  // namespace lotformer::ops
