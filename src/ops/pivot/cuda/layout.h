// SPDX-License-Identifier: MIT
// Who owns which element of the n x R matrix of scores.
//
// R >= 16: the accumulator layout of mma.m16n8k16. A warp holds 16 rows; lane = 4 g + q owns of rows g and g
// + 8 the columns
//          8 t + 2 q and 8 t + 2 q + 1 of each tile t of 8 columns. Four lanes share a row.
// R <= 8:  a thread owns a whole row.
// A *block* is what a CTA holds at a time, one unit a thread. The resident solver keeps kUnits blocks, 64
// numbers a thread.
#pragma once

#include "device_api.h"
#include "ops/pivot/newton_rules.h"
#include "params.h"

namespace lotformer::ops::pivot::cuda {

constexpr int kMaxCluster = 8;
constexpr int kMaxHeadDim = 64;
// Rows of a block that are in shared memory at a time (outer_sum.h): the most, and the least on parts with
// little of it (Plan::stage_rows). The order of the sums is that of the rows, so it changes no bit.
constexpr int kMostStageRows = 64, kLeastStageRows = 16;
constexpr int kResidentValues = 64;  // scores a thread of the resident solver keeps
constexpr float kLn2 = static_cast<float>(rules::kLn2);
// After each row in shared memory, against bank conflicts: floats, and 16-bit numbers.
constexpr int kRowPadding = 4, kTermPadding = 8;

/// kInShared: the resident solver keeps the scores in shared memory, each thread its own, and its blocks are
/// a loop: 16 warps have 128 registers a thread only.
template <int R_, int Warps_, bool kInShared_ = false>
struct Layout {
  static constexpr bool kInShared = kInShared_;
  static constexpr int R = R_, kWarps = Warps_, kThreads = Warps_ * kWarp;
  static constexpr bool kQuad = R >= 16;
  static constexpr int kCols = kQuad ? R / 4 : R;        // columns a thread owns of a row
  static constexpr int kUnitRows = kQuad ? 2 : 1;        // rows a thread has a share of
  static constexpr int kWarpRows = kQuad ? 16 : kWarp;   // rows of a warp in a block
  static constexpr int kBlockRows = kWarpRows * kWarps;  // rows of a block
  static constexpr int kUnits = kResidentValues / (kUnitRows * kCols);
  static_assert(kBlockRows % kMostStageRows == 0 && R + 2 <= kThreads && kUnits >= 1, "no such layout");
};

template <class L>
using Unit = float[L::kUnitRows][L::kCols];

/// Row inside the warp's rows, and column, of an element of a unit.
template <class L>
PIVOT_DEVICE int unit_row(int i, int lane) {
  return L::kQuad ? (lane >> 2) + 8 * i : lane;
}
template <class L>
PIVOT_DEVICE int unit_column(int c, int lane) {
  return L::kQuad ? (c >> 1) * 8 + (lane & 3) * 2 + (c & 1) : c;
}

/// Sum and maximum over the lanes that share a row.
template <class L>
PIVOT_DEVICE float row_sum(float x) {
  if constexpr (L::kQuad) {
    x += shuffle_xor(x, 1);
    x += shuffle_xor(x, 2);
  }
  return x;
}
template <class L>
PIVOT_DEVICE float row_max(float x) {
  if constexpr (L::kQuad) {
    x = fmaxf(x, shuffle_xor(x, 1));
    x = fmaxf(x, shuffle_xor(x, 2));
  }
  return x;
}

PIVOT_DEVICE float warp_sum(float x) {
  PIVOT_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) x += shuffle_xor(x, mask);
  return x;
}
PIVOT_DEVICE float warp_max(float x) {
  PIVOT_UNROLL
  for (int mask = 1; mask < kWarp; mask *= 2) x = fmaxf(x, shuffle_xor(x, mask));
  return x;
}

/// Rows [first, first + blocks * kBlockRows) of a CTA, of which those below `real` are tokens, those below
/// `tokens` exist.
struct RowRange {
  int first, blocks, real, tokens;
  const float* masses = nullptr;  // of all rows; null: every token has 1 / real

  /// Mass of a row; of one that is no token any number, for its weights are 0.
  PIVOT_DEVICE float share(int row) const {
    if (!masses) return 1.0f / static_cast<float>(real);
    return row < real ? masses[row] : 0.0f;
  }
};

/// Which elements of a matrix [R][padded_dim] a thread takes where all of a CTA work on it: one column, every
/// step-th row. padded_dim is 32 or 64, so nothing is divided.
template <class L>
struct ColumnShare {
  int column, first, step;

  explicit PIVOT_DEVICE ColumnShare(int padded_dim) {
    const int bits = 5 + (padded_dim >> 6);
    column = thread_index() & (padded_dim - 1);
    first = thread_index() >> bits;
    step = L::kThreads >> bits;
  }
};

/// Row range of this CTA. Blocks beyond the real tokens are left out when streamed.
template <class L>
PIVOT_DEVICE RowRange share_of(int tokens, int real, int rank, int ranks, bool resident) {
  if (resident) return {rank * L::kUnits * L::kBlockRows, L::kUnits, real, tokens};
  const int blocks = (real + L::kBlockRows - 1) / L::kBlockRows;
  const int each = (blocks + ranks - 1) / ranks;
  const int left = blocks - rank * each;
  return {rank * each * L::kBlockRows, left < 0 ? 0 : left < each ? left : each, real, tokens};
}

/// Four numbers of a row as they stand in memory; bf16: two words.
struct RawQuad {
  uint32_t word[4];

  template <bool kBf16>
  PIVOT_DEVICE Pair pair(int half) const {
    if (kBf16) return unpack_bf16(word[half]);
    return {bits_to_float(word[2 * half]), bits_to_float(word[2 * half + 1])};
  }
};

/// One matrix [tokens, head_dim] of a tensor. Rows from `real` on and columns from `dim` on read as 0 without
/// being touched, so nothing that stands in padding can have an influence.
struct RowSource {
  const void* data;
  int64_t stride;
  int real, dim, bf16, wide;

  /// Columns `column` (a multiple of 4) and the next three of a row. Nothing is done with them, so that many
  /// such loads can be under way at once.
  template <bool kBf16>
  PIVOT_DEVICE RawQuad quad(int row, int column) const {
    RawQuad raw{};
    if (row >= real || column >= dim) return raw;
    const int64_t offset = row * stride + column;
    if constexpr (kBf16) {
      const uint32_t* at = reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(data) + offset);
      if (wide) {
        const PackedQuad x = *reinterpret_cast<const PackedQuad*>(at);
        raw.word[0] = x.low;
        raw.word[1] = x.high;
      } else {
        raw.word[0] = at[0];
        raw.word[1] = column + 2 < dim ? at[1] : 0;
      }
    } else {
      const Pair* at = reinterpret_cast<const Pair*>(static_cast<const float*>(data) + offset);
      if (wide) {
        const Quad x = *reinterpret_cast<const Quad*>(at);
        memcpy(&raw, &x, sizeof raw);
      } else {
        memcpy(&raw.word[0], at, sizeof *at);
        if (column + 2 < dim) memcpy(&raw.word[2], at + 1, sizeof *at);
      }
    }
    return raw;
  }
};

struct RowTarget {
  void* data;
  int64_t stride;
  int tokens, dim, bf16;

  PIVOT_DEVICE void store(int row, int column, Pair value) const {
    if (row >= tokens || column >= dim) return;
    const int64_t offset = row * stride + column;
    if (bf16) {
      *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(data) + offset) = pack_bf16(value.x, value.y);
    } else {
      *reinterpret_cast<Pair*>(static_cast<float*>(data) + offset) = value;
    }
  }
};

PIVOT_DEVICE char* matrix_at(const RowTensor& t, int b, int h, int bf16) {
  return static_cast<char*>(t.data) + (b * t.batch_stride + h * t.head_stride) * (bf16 ? 2 : 4);
}
/// Real tokens of example b. Nobody looked at the lengths on the host: no number in them leads out of the
/// rows.
PIVOT_DEVICE int real_tokens(const PivotArgs& p, int b) {
  if (!p.lengths) return p.tokens;
  const int64_t length = p.lengths[b];
  return length < 0 ? 0 : length > p.tokens ? p.tokens : static_cast<int>(length);
}

/// Masses of the tokens of a side, by row, or null. `problem` = batch * heads + head.
PIVOT_DEVICE const float* token_masses(const PivotArgs& p, int side, int problem) {
  return p.masses[side] ? p.masses[side] + static_cast<int64_t>(problem) * p.tokens : nullptr;
}

PIVOT_DEVICE RowSource row_source(const PivotArgs& p, const RowTensor& t, int b, int h, int real) {
  return {matrix_at(t, b, h, p.bf16), t.token_stride, real, p.head_dim, p.bf16, p.wide};
}
PIVOT_DEVICE RowTarget row_target(const PivotArgs& p, const RowTensor& t, int b, int h) {
  return {matrix_at(t, b, h, p.bf16), t.token_stride, p.tokens, p.head_dim, p.bf16};
}

PIVOT_DEVICE Schedule schedule_of(int half_iterations, int side) {
  const int left = half_iterations - side;
  const int updates = left / 2;
  const bool pivot_last = left % 2 == 0;
  return {updates, pivot_last, pivot_last ? updates - 1 : updates};
}

}  // namespace lotformer::ops::pivot::cuda
