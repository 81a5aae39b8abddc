// SPDX-License-Identifier: MIT
// An encoder with LOTFormer attention, trained a few steps: which of two tokens comes more often?
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/rand.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <cstdio>
#include <memory>

#include "lotformer/attention/lotformer.h"
#include "lotformer/model/encoder.h"

namespace {

constexpr int64_t kBatch = 32, kTokens = 63, kDim = 32;

struct Classifier : torch::nn::Module {
  Classifier() {
    lotformer::LotformerOptions attention;
    attention.pivots = 8;
    attention.masses = "learned";
    attention.pivot_init = "unit_score";
    lotformer::EncoderOptions shape;
    shape.vocab_size = 3;
    shape.max_length = kTokens;
    shape.layers = 2;
    shape.dim = kDim;
    shape.heads = 2;
    shape.head_dim = kDim / 2;
    shape.ff_dim = 2 * kDim;
    encoder = register_module(
        "encoder",
        std::make_shared<lotformer::EncoderImpl>(shape, [attention](const lotformer::AttentionShape& heads) {
          return std::make_shared<lotformer::LotformerAttentionImpl>(attention, heads);
        }));
    head = register_module("head", torch::nn::Linear(kDim, 2));
  }
  /// ids int64 [B, N] to logits [B, 2]: the mean over the tokens, then a linear layer.
  at::Tensor forward(const at::Tensor& ids) {
    const lotformer::ops::TokenLayout layout = encoder->layout({ids, {}, {}, 0});
    const at::Tensor tokens = encoder->forward(ids, layout, {});
    return head(lotformer::ops::sum_tokens(tokens, layout) / static_cast<double>(ids.size(1)));
  }
  std::shared_ptr<lotformer::EncoderImpl> encoder;
  torch::nn::Linear head{nullptr};
};

}  // namespace

int main() {
  torch::manual_seed(0);
  Classifier model;
  torch::optim::AdamW optimizer(model.parameters(), torch::optim::AdamWOptions(3e-3));
  for (int step = 0; step <= 80; ++step) {
    const at::Tensor share = at::rand({kBatch, 1});  // of token 2, in each sequence its own
    const at::Tensor ids = at::rand({kBatch, kTokens}).lt(share).to(at::kLong) + 1;
    const at::Tensor labels = ids.eq(2).sum(1).gt(kTokens / 2).to(at::kLong);
    const at::Tensor loss = at::cross_entropy_loss(model.forward(ids), labels);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step % 20 == 0) std::printf("step %2d  loss %.4f\n", step, loss.item<double>());
  }
}
