// SPDX-License-Identifier: MIT
// Tokens of a batch as rows [rows, C], without its padding where that can be had. About half of the rows of a
// ListOps batch are padding; what works on one token at a time (norms, projections, MLP, dropout) then runs
// on the real ones only, and attention gets its [B, H, N, D].
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace lotformer::ops {

/// Which row of a batch of B sequences of width N is which token.
///   dense    all B * N, padding included; any device
///   packed   the real tokens of sequence 0, then those of sequence 1, ...; lengths on the CPU
///   indexed  as packed, then rows without a token until there are `slots`; lengths on any device, nothing is
///            read from it, so that the shapes do not depend on the lengths. Rows without a token hold finite
///            numbers without meaning, and nothing that is made of tokens depends on them.
class TokenLayout {
 public:
  /// lengths int64 [B] or undefined (every token is real).
  static TokenLayout dense(const at::Tensor& lengths, int64_t sequences, int64_t width);
  /// lengths int64 [B] on the CPU, each in [0, width]; else c10::ValueError.
  static TokenLayout packed(const at::Tensor& lengths, int64_t width);
  /// lengths int64 [B], each in [0, width] and together at most `slots`, which is not looked at; width > 0.
  static TokenLayout indexed(const at::Tensor& lengths, int64_t width, int64_t slots);

  bool is_packed() const { return !starts_.empty(); }
  bool is_indexed() const { return source_.defined(); }
  const at::Tensor& lengths() const { return lengths_; }
  int64_t sequences() const { return sequences_; }
  int64_t width() const { return width_; }
  int64_t rows() const { return rows_; }
  /// Packed: first row of each sequence, and their number at the end.
  const std::vector<int64_t>& starts() const { return starts_; }
  /// Indexed: the places int64 [rows] in [B * N] that rows are read from (place 0 where there is no token)
  /// and written to (place B * N where there is none).
  const at::Tensor& source() const { return source_; }
  const at::Tensor& target() const { return target_; }

  /// x [B, N] in this layout: [rows]. No gradient.
  at::Tensor arrange(const at::Tensor& x) const;

 private:
  at::Tensor lengths_, source_, target_;
  int64_t sequences_ = 0, width_ = 0, rows_ = 0;
  std::vector<int64_t> starts_;
};

/// q, k, v [B, H, N, D] out of tokens [rows, 3 * H * D]. Dense: views. Else padding is zero.
std::array<at::Tensor, 3> split_heads(const at::Tensor& qkv, const TokenLayout& layout, int64_t heads);

/// [B, H, N, D] -> tokens [rows, H * D]. Without a dense layout padding is not read, its gradient is zero.
at::Tensor join_heads(const at::Tensor& heads, const TokenLayout& layout);

/// Tokens [rows, C] -> [B, N, C]. Dense: a view. Indexed: padding is zero. Packed: Error(internal).
at::Tensor padded_tokens(const at::Tensor& x, const TokenLayout& layout);

/// Sum of the real tokens [rows, C] of each sequence, [B, C]; zero for an empty one. A packed sum is
/// accumulated in double.
at::Tensor sum_tokens(const at::Tensor& x, const TokenLayout& layout);

}  // namespace lotformer::ops
