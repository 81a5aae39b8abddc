// SPDX-License-Identifier: MIT
// Pre-norm Transformer encoder: x + W(attention(LN(x))), x + MLP(LN(x)), final LN. Knows attention by its
// interface only.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <functional>
#include <memory>
#include <vector>

#include "lotformer/attention/attention.h"
#include "lotformer/ops/token_layout.h"

namespace lotformer {

struct EncoderOptions {
  int64_t vocab_size = 0;
  /// Rows of the position table.
  int64_t max_length = 0;
  int64_t layers = 2, dim = 64, heads = 2, head_dim = 32, ff_dim = 128;
  double dropout = 0;
  /// Ids are grey values 0..255, and (id / 255 - input_mean) / input_std goes through one linear layer in
  /// place of the table of vectors.
  bool real_input = false;
  double input_mean = 0.5, input_std = 0.5;
  /// A learned token stands before every sequence; it has position 0, and those of the sequence begin at 1.
  bool class_token = false;
  /// The position table starts as the sinusoids of Vaswani et al. (2017, section 3.5), scaled to the size of
  /// the normal start, instead of as normal numbers. It is learned in either case.
  bool sinusoidal_start = false;
  /// A second table, indexed by the place counted from the last real token, is added to the first.
  bool end_positions = false;
};

/// What the encoder reads of a batch: ids int64 [B, N], lengths int64 [B] or undefined (every token is real),
/// positions int64 [B, N] or undefined (0..N-1), token_slots as in Batch.
struct TokenBatch {
  at::Tensor ids, lengths, positions;
  int64_t token_slots = 0;
};

/// Builds the attention of one layer; the encoder does not know which.
using AttentionFactory = std::function<std::shared_ptr<AttentionImpl>(const AttentionShape&)>;

class EncoderLayerImpl final : public torch::nn::Module {
 public:
  EncoderLayerImpl(const EncoderOptions& options, const AttentionFactory& attention);
  /// x [rows, C] in the layout -> the same shape
  at::Tensor forward(const at::Tensor& x, const ops::TokenLayout& layout);
  AttentionImpl& attention() { return *attention_; }
  /// Called with q, k [B, H, N, D] and lengths of every forward pass until it is taken away with nullptr.
  using Observer = std::function<void(const at::Tensor& q, const at::Tensor& k, const at::Tensor& lengths)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

 private:
  at::Tensor attend(const at::Tensor& x, const ops::TokenLayout& layout);
  int64_t heads_;
  double dropout_;
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  torch::nn::Linear qkv_{nullptr}, out_{nullptr}, ff1_{nullptr}, ff2_{nullptr};
  std::shared_ptr<AttentionImpl> attention_;
  Observer observer_;
};

class EncoderImpl final : public torch::nn::Module {
 public:
  EncoderImpl(const EncoderOptions& options, const AttentionFactory& attention);
  /// The batch with the class token in front, one token longer, where the encoder has one; else as it is.
  TokenBatch with_class_token(const TokenBatch& batch) const;
  /// How forward() is to lay out the tokens of a batch: without padding where the host knows the lengths or
  /// the batch has slots, unless padding takes part in the attention.
  ops::TokenLayout layout(const TokenBatch& batch) const;
  /// ids int64 [B, N], a layout of them, positions int64 [B, N] or undefined (0..N-1) -> [rows, C]. Rows of
  /// the layout that are no token hold finite numbers without meaning.
  at::Tensor forward(const at::Tensor& ids, const ops::TokenLayout& layout, const at::Tensor& positions);
  const std::vector<std::shared_ptr<EncoderLayerImpl>>& layers() const { return layers_; }

 private:
  at::Tensor embed(const at::Tensor& ids);
  at::Tensor embed_ids(const at::Tensor& ids);
  double dropout_, input_mean_, input_std_;
  at::Tensor place_vectors(const at::Tensor& ids, const ops::TokenLayout& layout,
                           const at::Tensor& positions);
  torch::nn::Embedding token_{nullptr}, position_{nullptr};  // token_ or value_, not both
  torch::nn::Embedding end_position_{nullptr};               // or none
  torch::nn::Linear value_{nullptr};
  at::Tensor class_token_;  // [C] or undefined
  std::vector<std::shared_ptr<EncoderLayerImpl>> layers_;
  torch::nn::LayerNorm norm_{nullptr};
};

}  // namespace lotformer
