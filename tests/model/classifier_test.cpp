// SPDX-License-Identifier: MIT
// Properties of the whole model, for every attention of the table: what stands in padding, and how much of
// it, changes nothing.
#include "lotformer/model/classifier.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <torch/utils.h>
// after torch
#include "model/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

std::shared_ptr<ClassifierImpl> make_model(const std::string& kind, int64_t sequences = 1) {
  torch::manual_seed(3);
  Config config;
  config.model.dim = 16;
  config.model.head_dim = 8;
  config.model.ff_dim = 24;
  config.attention_kind = kind;
  config.attention = find_attention(kind).options();
  auto model = build_classifier(config, kVocabulary, kMaxLength, kClasses, sequences);
  model->to(at::kDouble);
  model->eval();
  return model;
}

}  // namespace

TEST_CASE("ids in padding change no bit of the logits", "[model]") {
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto model = make_model(spec.kind);
    Batch batch = make_batch(18);
    const at::Tensor before = model->forward(batch);
    const at::Tensor padding = at::arange(18).expand({1, 3, 18}) >= batch.lengths.unsqueeze(2);
    batch.ids = batch.ids.masked_fill(padding, 7);
    CHECK(model->forward(batch).equal(before));
  }
}

TEST_CASE("the amount of padding changes nothing beyond rounding", "[model]") {
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto model = make_model(spec.kind);
    Batch batch = make_batch(18);
    const at::Tensor before = model->forward(batch);
    batch.ids = at::cat({batch.ids, at::full({1, 3, 9}, 4, at::kLong)}, 2);
    CHECK((model->forward(batch) - before).abs().max().item<double>() < 1e-9);
  }
}

TEST_CASE("lengths left out mean that every token is real", "[model]") {
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto model = make_model(spec.kind);
    Batch batch = make_batch(12);
    batch.lengths = at::full({1, 3}, 12, at::kLong);
    const at::Tensor before = model->forward(batch);
    batch.lengths = at::Tensor();
    CHECK((model->forward(batch) - before).abs().max().item<double>() < 1e-9);
  }
}

TEST_CASE("positions that count up are the same as none", "[model]") {
  const auto model = make_model("softmax");
  Batch batch = make_batch(12);
  const at::Tensor before = model->forward(batch);
  batch.positions = at::arange(12).expand({1, 3, 12});
  CHECK((model->forward(batch) - before).abs().max().item<double>() < 1e-12);
}

TEST_CASE("two sequences meet in the head as a, b, a*b, a-b", "[model]") {
  const auto model = make_model("softmax", 2);
  Batch batch = make_batch(12);
  const Batch other = make_batch(12);
  batch.ids = at::cat({batch.ids, other.ids.flip(2)});
  batch.lengths = at::cat({batch.lengths, other.lengths});
  CHECK(model->forward(batch).sizes() == at::IntArrayRef({3, kClasses}));
  Batch swapped = batch;
  swapped.ids = batch.ids.flip(0);
  CHECK_FALSE(model->forward(swapped).equal(model->forward(batch)));
}

TEST_CASE("real input is one linear layer on normalised grey values", "[model]") {
  constexpr double kMean = 122.6 / 255, kStd = 61.0 / 255;
  Config config;
  config.model.dim = 16;
  config.model.head_dim = 8;
  config.attention_kind = "softmax";
  config.attention = find_attention("softmax").options();
  config.data.input_mean = kMean;
  config.data.input_std = kStd;
  const auto build = [&config](const char* input) {
    config.data.input = input;
    auto model = build_classifier(config, 256, kMaxLength, kClasses, 1);
    model->to(at::kDouble);
    model->eval();
    return model;
  };
  const auto real = build("real"), table = build("ids");
  const torch::NoGradGuard no_grad;
  const auto from = real->named_parameters();
  CHECK_FALSE(from.contains("encoder.token.weight"));
  for (auto& item : table->named_parameters()) {
    if (item.key() != "encoder.token.weight") item.value().copy_(from[item.key()]);
  }
  // A table that holds what the layer computes for each of the 256 values.
  const at::Tensor grey = (at::arange(256, at::kDouble) / 255 - kMean) / kStd;
  table->named_parameters()["encoder.token.weight"].copy_(
      at::outer(grey, from["encoder.value.weight"].squeeze(1)) + from["encoder.value.bias"]);
  Batch batch = make_batch(18);
  batch.ids = at::randint(0, 256, {1, 3, 18}, at::kLong);
  CHECK((real->forward(batch) - table->forward(batch)).abs().max().item<double>() < 1e-12);
}

TEST_CASE("a sequence longer than the position table is refused", "[model]") {
  const auto model = make_model("softmax");
  CHECK_THROWS_WITH(model->forward(make_batch(kMaxLength + 1)), test::contains_text("position table"));
}
