// SPDX-License-Identifier: MIT
// Streaming over an N x N matrix that is never kept. All problems of a group are handled at once; tensors are
// contiguous, float32 or float64, on any device.
//
// Logits A = x y^T between the points of two sides, potentials in units of epsilon:
//   half-iteration   potential_i = -log sum_j exp(A_ij + other_j)
//   plan             P_ij = exp(A_ij + potential_i + other_j)            rows of the updated side sum to 1
// With marginals 1/n on both sides n times the transport plan is P: the factors 1/n and n cancel.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace lotformer::ops::sinkhorn {

/// The two point clouds of P problems. Index 0: rows of the map (queries, times D^(-1/2) / epsilon); 1: its
/// columns (keys).
struct Points {
  /// [P, n, D].
  at::Tensor x[2];
  /// bool [P, n], true at tokens without mass; undefined: none.
  at::Tensor absent[2];

  int64_t problems() const { return x[0].size(0); }
  int64_t tokens(int side) const { return x[side].size(1); }
};

/// Side that half-iteration t = 1, 2, ... updates: rows first.
inline int side_of(int64_t half_iteration) {
  return half_iteration % 2 == 1 ? 0 : 1;
}

/// Tokens [first, first + count) of the major side against all tokens of the minor side.
struct Tile {
  int64_t first, count;
  /// x [P, n, ...].
  at::Tensor of(const at::Tensor& x) const { return x.narrow(1, first, count); }
};

/// Visits the tiles of side `major` in order; a tile has about 2^18 entries on the CPU (it stays in cache),
/// 2^25 elsewhere.
void for_each_tile(const Points& points, int major, const std::function<void(const Tile&)>& work);
/// Entries that a tile should have on the device of `x`.
int64_t tile_entries(const at::Tensor& x);

/// A + other [P, count, m] for a tile of side `major`; other [P, m] is a potential of the minor side.
at::Tensor tile_logits(const Points& points, int major, const Tile& tile, const at::Tensor& other);
/// exp in place. On the CPU arguments are clamped at -80 (1.8e-35): its vectorised exp is several times
/// slower once results underflow. Minus infinity stands for absent tokens, which the CPU never meets (its
/// groups hold real tokens only).
void exponentiate(at::Tensor& x);
/// P of a tile [P, count, m] at the potentials of both sides.
at::Tensor tile_plan(const Points& points, int major, const Tile& tile, const at::Tensor& potential,
                     const at::Tensor& other);

/// The potential before the first half-iteration: zero, minus infinity at absent tokens. [P, n]
at::Tensor zero_potential(const Points& points, int side);

/// Receives exp(A + other - m_i) and its row sums [P, count, 1]: the tile of the plan before division by the
/// sums.
using TileVisitor = std::function<void(const Tile&, const at::Tensor& exponentials, const at::Tensor& sums)>;
/// New potential of side `major` [P, n], from that of the minor side.
at::Tensor half_iteration(const Points& points, int major, const at::Tensor& other,
                          const TileVisitor& visit = {});

}  // namespace lotformer::ops::sinkhorn
