// SPDX-License-Identifier: MIT
// From token vectors to one vector a sequence (model.pooling).
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "lotformer/ops/token_layout.h"

namespace lotformer {

enum class PoolingKind {
  /// Over the real tokens.
  mean,
  /// Sum of the real tokens over the padded length (published code).
  padded_mean,
  /// The first token, which EncoderOptions::class_token puts there (Tay et al. 2021, as in BERT).
  cls,
  /// Softmax over the real tokens of x . query; `query` [C] is learned and starts at zero, as the mean.
  attention
};
/// Error(internal) when the name is none of model.pooling's choices.
PoolingKind parse_pooling(const std::string& name);

class PoolingImpl final : public torch::nn::Module {
 public:
  PoolingImpl(PoolingKind kind, int64_t dim);
  /// x [rows, C] in the layout -> [B, C]. An empty sequence: zeros (cls has no empty one).
  at::Tensor forward(const at::Tensor& x, const ops::TokenLayout& layout) const;
  PoolingKind kind() const { return kind_; }
  at::Tensor query;  // [C], attention only

 private:
  PoolingKind kind_;
};

}  // namespace lotformer
