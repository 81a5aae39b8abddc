// SPDX-License-Identifier: MIT
#include "lotformer/model/classifier.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>

#include <algorithm>

#include "lotformer/ops/autocast.h"

namespace lotformer {
ClassifierImpl::ClassifierImpl(const ClassifierOptions& options, const AttentionFactory& attention) {
  EncoderOptions e = options.encoder;
  e.class_token = options.pooling == PoolingKind::cls;
  encoder_ = register_module("encoder", std::make_shared<EncoderImpl>(e, attention));
  pool_ = register_module("pool", std::make_shared<PoolingImpl>(options.pooling, e.dim));
  const int64_t features = options.sequences == 2 ? 4 * e.dim : e.dim;
  head1_ = register_module("head1", torch::nn::Linear(features, e.ff_dim));
  head2_ = register_module("head2", torch::nn::Linear(e.ff_dim, options.classes));
}

at::Tensor ClassifierImpl::forward(const Batch& batch) {
  const int64_t sequences = batch.ids.size(0), examples = batch.ids.size(1);
  const auto flat = [](const at::Tensor& t) { return t.defined() ? t.flatten(0, 1) : t; };
  const TokenBatch tokens = encoder_->with_class_token(
      {flat(batch.ids), flat(batch.lengths), flat(batch.positions), batch.token_slots});
  const ops::TokenLayout layout = encoder_->layout(tokens);
  const at::Tensor x = encoder_->forward(tokens.ids, layout, tokens.positions);
  const ops::AutocastScope fp32(x.device().type(), std::nullopt);
  at::Tensor features = pool_->forward(x.to(head1_->weight.scalar_type()), layout);
  if (sequences == 2) {
    const at::Tensor a = features.narrow(0, 0, examples), b = features.narrow(0, examples, examples);
    features = at::cat({a, b, a * b, a - b}, 1);
  }
  return head2_(at::relu(head1_(features)));
}

bool ClassifierImpl::depends_on_width() const {
  const auto& layers = encoder_->layers();
  return pool_->kind() == PoolingKind::padded_mean ||
         std::any_of(layers.begin(), layers.end(),
                     [](const auto& layer) { return layer->attention().padding_takes_part(); });
}

std::shared_ptr<ClassifierImpl> build_classifier(const Config& config, int64_t vocab_size, int64_t max_length,
                                                 int64_t classes, int64_t sequences) {
  ClassifierOptions options;
  const ModelConfig& m = config.model;
  options.encoder = {vocab_size, max_length, m.layers, m.dim, m.heads, m.head_dim, m.ff_dim, m.dropout};
  options.encoder.real_input = config.data.input == "real";
  options.encoder.input_mean = config.data.input_mean;
  options.encoder.input_std = config.data.input_std;
  options.encoder.sinusoidal_start = m.position_init == "sinusoidal";
  options.encoder.end_positions = m.end_positions;
  options.classes = classes;
  options.sequences = sequences;
  options.pooling = parse_pooling(m.pooling);
  const AttentionSpec& spec = find_attention(config.attention_kind);
  return std::make_shared<ClassifierImpl>(
      options, [&](const AttentionShape& shape) { return spec.build(*config.attention, shape); });
}

}  // namespace lotformer
