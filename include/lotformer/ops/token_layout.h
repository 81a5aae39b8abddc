// SPDX-License-Identifier: MIT
// Tokens of a batch without its padding. On a CPU about half of the rows of a ListOps batch are padding; what
// works on one token at a time (norms, projections, MLP, dropout) then runs on the real ones only, and
// attention gets its [B, H, N, D].
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace lotformer::ops {

/// Where the token vectors of a batch of B sequences of width N lie. Dense: [B, N, C], padding included, any
/// device. Packed: [T, C], the real tokens of sequence 0, then those of sequence 1, ..., T = sum of the
/// lengths; CPU.
class TokenLayout {
 public:
  /// lengths int64 [B] or undefined (every token is real).
  static TokenLayout dense(const at::Tensor& lengths, int64_t width);
  /// lengths int64 [B] on the CPU, each in [0, width]; else c10::ValueError.
  static TokenLayout packed(const at::Tensor& lengths, int64_t width);

  bool is_packed() const { return !starts_.empty(); }
  const at::Tensor& lengths() const { return lengths_; }
  int64_t width() const { return width_; }
  /// Packed: first row of each sequence, and T at the end.
  const std::vector<int64_t>& starts() const { return starts_; }

  /// x [B, N] in this layout: [B, N] or [T]. No gradient.
  at::Tensor arrange(const at::Tensor& x) const;

 private:
  at::Tensor lengths_;
  int64_t width_ = 0;
  std::vector<int64_t> starts_;
};

/// q, k, v [B, H, N, D] out of tokens [..., 3 * H * D]. Dense: views. Packed: contiguous, padded rows zero.
std::array<at::Tensor, 3> split_heads(const at::Tensor& qkv, const TokenLayout& layout, int64_t heads);

/// [B, H, N, D] -> tokens [..., H * D]. Padded rows of a packed layout are not read, their gradient is zero.
at::Tensor join_heads(const at::Tensor& heads, const TokenLayout& layout);

/// Sum of the real tokens [..., C] of each sequence, [B, C]; zero for an empty one. A packed sum is
/// accumulated in double.
at::Tensor sum_tokens(const at::Tensor& x, const TokenLayout& layout);

}  // namespace lotformer::ops
