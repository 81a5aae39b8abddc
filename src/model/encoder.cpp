// SPDX-License-Identifier: MIT
#include "lotformer/model/encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/init.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>

#include "lotformer/core/text.h"
#include "lotformer/ops/dropout.h"
#include "lotformer/ops/embedding.h"
#include "lotformer/ops/profile_range.h"

namespace lotformer {
namespace {

constexpr double kEmbeddingStd = 0.02;
constexpr int64_t kClassToken = -1;  // in the place of an id

/// sin and cos of p / 10000^(2i / C) [rows, C], whose squares have mean 1/2, times sqrt(2) kEmbeddingStd.
at::Tensor sinusoids(int64_t rows, int64_t dim) {
  const at::Tensor places = at::arange(rows, at::kDouble).unsqueeze(1);
  const at::Tensor pairs = at::arange(0, dim, 2, at::kDouble) / static_cast<double>(dim);
  const at::Tensor angles = places * at::pow(10000.0, -pairs);  // [rows, ceil(C / 2)]
  const at::Tensor waves = at::stack({angles.sin(), angles.cos()}, -1).flatten(1).narrow(1, 0, dim);
  return (waves * (std::sqrt(2.0) * kEmbeddingStd)).to(at::kFloat);
}

void start_positions(torch::nn::Embedding& table, bool sinusoidal) {
  const torch::NoGradGuard no_grad;
  if (sinusoidal) {
    table->weight.copy_(sinusoids(table->weight.size(0), table->weight.size(1)));
  } else {
    torch::nn::init::normal_(table->weight, 0.0, kEmbeddingStd);
  }
}

/// Places counted from the last real token [B, N]: n - 1, ..., 0; padding has 0.
at::Tensor places_from_end(const at::Tensor& ids, const at::Tensor& lengths) {
  const at::Tensor places = at::arange(ids.size(1), ids.options());
  if (!lengths.defined()) return (ids.size(1) - 1 - places).expand(ids.sizes());
  return (lengths.unsqueeze(1) - 1 - places).clamp_min(0);
}

/// x [rows, C] + place [rows, C] or [N, C], the latter for every sequence of a dense layout.
at::Tensor add_places(const at::Tensor& x, const at::Tensor& place, const ops::TokenLayout& layout) {
  if (place.size(0) == x.size(0)) return x + place;
  return (x.view({layout.sequences(), layout.width(), x.size(1)}) + place).view(x.sizes());
}

}  // namespace

EncoderLayerImpl::EncoderLayerImpl(const EncoderOptions& o, const AttentionFactory& attention)
    : heads_(o.heads), dropout_(o.dropout) {
  const int64_t inner = o.heads * o.head_dim;
  norm1_ = register_module("norm1", torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.dim})));
  qkv_ = register_module("qkv", torch::nn::Linear(o.dim, 3 * inner));
  attention_ = attention({o.heads, o.head_dim, o.dropout});
  register_module("attention", std::static_pointer_cast<torch::nn::Module>(attention_));
  out_ = register_module("out", torch::nn::Linear(inner, o.dim));
  norm2_ = register_module("norm2", torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.dim})));
  ff1_ = register_module("ff1", torch::nn::Linear(o.dim, o.ff_dim));
  ff2_ = register_module("ff2", torch::nn::Linear(o.ff_dim, o.dim));
}

at::Tensor EncoderLayerImpl::attend(const at::Tensor& x, const ops::TokenLayout& layout) {
  const auto [q, k, v] = ops::split_heads(qkv_(x), layout, heads_);
  if (observer_) observer_(q, k, layout.lengths());
  const ops::ProfileRange range("attention");
  return out_(ops::join_heads(attention_->forward(q, k, v, layout.lengths()), layout));
}

at::Tensor EncoderLayerImpl::forward(const at::Tensor& x, const ops::TokenLayout& layout) {
  const bool train = is_training();
  const at::Tensor attended = ops::add_dropout(x, attend(norm1_(x), layout), dropout_, train);
  const at::Tensor hidden = ops::dropout(at::gelu(ff1_(norm2_(attended))), dropout_, train);
  return ops::add_dropout(attended, ff2_(hidden), dropout_, train);
}

EncoderImpl::EncoderImpl(const EncoderOptions& o, const AttentionFactory& attention)
    : dropout_(o.dropout), input_mean_(o.input_mean), input_std_(o.input_std) {
  if (o.real_input) {
    value_ = register_module("value", torch::nn::Linear(1, o.dim));
  } else {
    token_ = register_module("token", torch::nn::Embedding(o.vocab_size, o.dim));
  }
  position_ =
      register_module("position", torch::nn::Embedding(o.max_length + (o.class_token ? 1 : 0), o.dim));
  if (!o.real_input) torch::nn::init::normal_(token_->weight, 0.0, kEmbeddingStd);
  start_positions(position_, o.sinusoidal_start);
  for (int64_t i = 0; i < o.layers; ++i) {
    layers_.push_back(register_module(concat("layer", i), std::make_shared<EncoderLayerImpl>(o, attention)));
  }
  norm_ = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.dim})));
  // Last, so that every other parameter of a seed is the one that it is without these.
  if (o.end_positions) {
    end_position_ = register_module("end_position", torch::nn::Embedding(position_->weight.size(0), o.dim));
    start_positions(end_position_, o.sinusoidal_start);
  }
  if (o.class_token) class_token_ = register_parameter("class_token", at::randn({o.dim}) * kEmbeddingStd);
}

TokenBatch EncoderImpl::with_class_token(const TokenBatch& batch) const {
  if (!class_token_.defined()) return batch;
  const int64_t examples = batch.ids.size(0);
  const at::Tensor ids = at::cat({at::full({examples, 1}, kClassToken, batch.ids.options()), batch.ids}, 1);
  const at::Tensor lengths = batch.lengths.defined() ? batch.lengths + 1 : batch.lengths;
  const int64_t slots = batch.token_slots > 0 ? batch.token_slots + examples : 0;
  if (!batch.positions.defined()) return {ids, lengths, batch.positions, slots};
  return {ids, lengths,
          at::cat({at::zeros({examples, 1}, batch.positions.options()), batch.positions + 1}, 1), slots};
}

/// Token vectors [rows, C]. The linear layer of real input is written as a product and a sum, which autocast
/// leaves in the parameters' precision: bfloat16 would merge neighbouring grey values.
at::Tensor EncoderImpl::embed(const at::Tensor& ids) {
  if (class_token_.defined()) {
    const at::Tensor own = ids.eq(kClassToken).unsqueeze(-1);
    const at::Tensor x = embed_ids(ids.clamp_min(0));
    return at::where(own, class_token_.to(x.scalar_type()), x);
  }
  return embed_ids(ids);
}

at::Tensor EncoderImpl::embed_ids(const at::Tensor& ids) {
  if (value_.is_empty()) return ops::embedding(token_->weight, ids);
  const at::Tensor grey = ids.to(value_->weight.scalar_type()) / 255;
  return ((grey - input_mean_) / input_std_).unsqueeze(-1) * value_->weight.squeeze(1) + value_->bias;
}

ops::TokenLayout EncoderImpl::layout(const TokenBatch& batch) const {
  const int64_t width = batch.ids.size(1);
  const bool without_padding =
      batch.lengths.defined() && std::none_of(layers_.begin(), layers_.end(), [](const auto& layer) {
        return layer->attention().padding_takes_part();
      });
  if (without_padding && batch.token_slots > 0)
    return ops::TokenLayout::indexed(batch.lengths, width, batch.token_slots);
  // Elsewhere than on a CPU the number of real tokens would have to be waited for.
  if (without_padding && batch.ids.is_cpu()) return ops::TokenLayout::packed(batch.lengths, width);
  return ops::TokenLayout::dense(batch.lengths, batch.ids.size(0), width);
}

/// [rows, C], or [N, C] for what every sequence has in common.
at::Tensor EncoderImpl::place_vectors(const at::Tensor& ids, const ops::TokenLayout& layout,
                                      const at::Tensor& positions) {
  const int64_t tokens = ids.size(1);
  const bool dense = !layout.is_packed() && !layout.is_indexed();
  // An indexed batch may be wider than its longest sequence, and looks up the places of tokens alone.
  TORCH_CHECK_VALUE(layout.is_indexed() || tokens <= position_->weight.size(0), "encoder: a sequence of ",
                    tokens, " tokens, the position table has ", position_->weight.size(0), " rows");
  at::Tensor place;
  if (!dense || positions.defined()) {
    const at::Tensor all =
        positions.defined() ? positions : at::arange(tokens, ids.options()).expand(ids.sizes());
    place = ops::embedding(position_->weight, layout.arrange(all));
  } else {
    // The first N rows of the table serve every sequence: a broadcast add, no gather and a cheap backward.
    place = position_->weight.narrow(0, 0, tokens);
  }
  if (end_position_.is_empty()) return place;
  const at::Tensor from_end = layout.arrange(places_from_end(ids, layout.lengths()));
  return add_places(ops::embedding(end_position_->weight, from_end), place, layout);
}

at::Tensor EncoderImpl::forward(const at::Tensor& ids, const ops::TokenLayout& layout,
                                const at::Tensor& positions) {
  const at::Tensor place = place_vectors(ids, layout, positions);
  at::Tensor x = add_places(embed(layout.arrange(ids)), place, layout);
  x = ops::dropout(x, dropout_, is_training());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const ops::ProfileRange range("layer", static_cast<int64_t>(i));
    x = layers_[i]->forward(x, layout);
  }
  return norm_(x);
}

}  // namespace lotformer
