// SPDX-License-Identifier: MIT
// Encoder, pooling, Linear-ReLU-Linear head. Two sequences share the encoder; the head then sees [a, b,
// a*b, a-b].
#pragma once

#include "lotformer/config/config.h"
#include "lotformer/model/batch.h"
#include "lotformer/model/encoder.h"
#include "lotformer/model/pooling.h"

namespace lotformer {

struct ClassifierOptions {
  /// class_token is set by the pooling.
  EncoderOptions encoder;
  int64_t classes = 0;
  /// 2: two-tower head.
  int64_t sequences = 1;
  PoolingKind pooling = PoolingKind::mean;
};

class ClassifierImpl final : public torch::nn::Module {
 public:
  ClassifierImpl(const ClassifierOptions& options, const AttentionFactory& attention);
  /// Logits [B, classes] in the parameters' precision (the head never runs under autocast).
  at::Tensor forward(const Batch& batch);
  EncoderImpl& encoder() { return *encoder_; }
  /// Whether logits depend on how much padding a batch has: `padded_mean`, and attention in which padding
  /// takes part.
  bool depends_on_width() const;

 private:
  std::shared_ptr<EncoderImpl> encoder_;
  std::shared_ptr<PoolingImpl> pool_;
  torch::nn::Linear head1_{nullptr}, head2_{nullptr};
};

/// The model of a configuration for a task with these sizes.
std::shared_ptr<ClassifierImpl> build_classifier(const Config& config, int64_t vocab_size, int64_t max_length,
                                                 int64_t classes, int64_t sequences);

}  // namespace lotformer
