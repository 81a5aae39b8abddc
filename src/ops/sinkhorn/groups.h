// SPDX-License-Identifier: MIT
// Which (sequence, head) problems are computed together.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tiles.h"

namespace lotformer::ops::sinkhorn {

/// Problems [first, first + count) of the flattened [B H] axis, cut to `tokens[side]` tokens.
struct Group {
  int64_t first, count;
  /// Rows, columns.
  int64_t tokens[2];
  /// bool [count, tokens], to be zeroed; undefined: none.
  at::Tensor padding[2];
  /// bool [count, tokens], without mass: padding, except where everything is.
  at::Tensor absent[2];

  /// The group's part of x [B H, N, ...], contiguous, zero at padding.
  at::Tensor take(const at::Tensor& x, int side) const;
  /// Writes a result of the group into x [B H, N, D], zero at padding.
  void put(at::Tensor& x, const at::Tensor& part, int side) const;
};

struct Grouping {
  /// Else one group with masks.
  bool by_sequence;
  /// Padded rows take part.
  bool padded_queries;
  /// One problem a group.
  bool single;
};

/// By sequence: real tokens only, so no mask, and lengths are read on the host; as many heads together as fit
/// one tile.
std::vector<Group> make_groups(const at::Tensor& q, const at::Tensor& lengths, const Grouping& grouping);

}  // namespace lotformer::ops::sinkhorn
