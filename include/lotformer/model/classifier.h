// SPDX-License-Identifier: MIT
// Encoder, mean pooling, Linear-ReLU-Linear head. Two sequences share the encoder; the head then sees [a, b,
// a*b, a-b].
#pragma once

#include "lotformer/config/config.h"
#include "lotformer/model/batch.h"
#include "lotformer/model/encoder.h"

namespace lotformer {

struct ClassifierOptions {
  EncoderOptions encoder;
  int64_t classes = 0;
  int64_t sequences = 1;     ///< 2: two-tower head
  bool padded_mean = false;  ///< divide by the padded length N instead of the real length (published code)
};

class ClassifierImpl final : public torch::nn::Module {
 public:
  ClassifierImpl(const ClassifierOptions& options, const AttentionFactory& attention);
  /// Logits [B, classes] in the parameters' precision (the head never runs under autocast).
  at::Tensor forward(const Batch& batch);
  EncoderImpl& encoder() { return *encoder_; }

 private:
  at::Tensor pool(const at::Tensor& x, const ops::TokenLayout& layout) const;
  ClassifierOptions options_;
  std::shared_ptr<EncoderImpl> encoder_;
  torch::nn::Linear head1_{nullptr}, head2_{nullptr};
};

/// The model of a configuration for a task with these sizes.
std::shared_ptr<ClassifierImpl> build_classifier(const Config& config, int64_t vocab_size, int64_t max_length,
                                                 int64_t classes, int64_t sequences);

}  // namespace lotformer
