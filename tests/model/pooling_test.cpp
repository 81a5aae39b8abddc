// SPDX-License-Identifier: MIT
// model.pooling: what each kind computes, that padding never enters, and that packed and dense tokens agree.
#include "lotformer/model/pooling.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "lotformer/model/classifier.h"
// after torch
#include "model/support.h"
#include "support/catch.h"
#include "support/finite_difference.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

const std::vector<std::string> kPoolings = {"mean", "cls", "attention", "padded_mean"};

Config config_of(const std::string& pooling, const std::string& kind = "softmax") {
  Config config;
  config.model.dim = 16;
  config.model.head_dim = 8;
  config.model.ff_dim = 24;
  config.model.pooling = pooling;
  config.attention_kind = kind;
  config.attention = find_attention(kind).options();
  return config;
}

/// In evaluation mode, with a query of the pooling that is not zero.
std::shared_ptr<ClassifierImpl> make_model(const Config& config, int64_t sequences = 1) {
  torch::manual_seed(3);
  auto model = build_classifier(config, kVocabulary, kMaxLength, kClasses, sequences);
  model->to(at::kDouble);
  model->eval();
  const torch::NoGradGuard no_grad;
  auto parameters = model->named_parameters();
  if (at::Tensor* query = parameters.find("pool.query")) query->normal_(0, 0.5);
  return model;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

/// x [B, N, C] as the packed tokens of these lengths.
at::Tensor pack(const at::Tensor& x, const at::Tensor& lengths) {
  std::vector<at::Tensor> rows;
  for (int64_t b = 0; b < x.size(0); ++b) rows.push_back(x[b].narrow(0, 0, lengths[b].item<int64_t>()));
  return at::cat(rows);
}

}  // namespace

TEST_CASE("pooling: padding changes no bit, and its amount nothing beyond rounding", "[model]") {
  for (const std::string& pooling : kPoolings) {
    INFO(pooling);
    const auto model = make_model(config_of(pooling));
    Batch batch = make_batch(18);
    const at::Tensor before = model->forward(batch);
    const at::Tensor padding = at::arange(18).expand({1, 3, 18}) >= batch.lengths.unsqueeze(2);
    batch.ids = batch.ids.masked_fill(padding, 7);
    CHECK(model->forward(batch).equal(before));
    batch.ids = at::cat({batch.ids, at::full({1, 3, 9}, 4, at::kLong)}, 2);
    const bool same = difference(model->forward(batch), before) < 1e-9;
    CHECK(same == (pooling != "padded_mean"));  // which divides by the padded length
  }
}

TEST_CASE(
    "pooling: lengths left out mean that every token is real, positions that count up are the same as none",
    "[model]") {
  for (const std::string& pooling : kPoolings) {
    INFO(pooling);
    const auto model = make_model(config_of(pooling));
    Batch batch = make_batch(12);
    batch.lengths = at::full({1, 3}, 12, at::kLong);
    const at::Tensor before = model->forward(batch);
    batch.positions = at::arange(12).expand({1, 3, 12});
    CHECK(difference(model->forward(batch), before) < 1e-12);
    batch.lengths = at::Tensor();
    CHECK(difference(model->forward(batch), before) < 1e-9);
  }
}

TEST_CASE("pooling: packed, indexed and dense tokens give the same vector, values and gradients", "[model]") {
  torch::manual_seed(2);
  const at::Tensor lengths = at::tensor({7, 1, 0, 4}, at::kLong);
  const auto dense = ops::TokenLayout::dense(lengths, 4, 7), packed = ops::TokenLayout::packed(lengths, 7),
             indexed = ops::TokenLayout::indexed(lengths, 7, 17);
  const at::Tensor tokens = at::randn({4, 7, 5}, at::kDouble), weight = at::randn({4, 5}, at::kDouble);
  for (const PoolingKind kind : {PoolingKind::mean, PoolingKind::padded_mean, PoolingKind::attention}) {
    PoolingImpl pool(kind, 5);
    if (pool.query.defined()) pool.query.set_data(at::randn({5}, at::kDouble));
    std::vector<at::Tensor> values, gradients, of_query;
    for (const auto* layout : {&dense, &packed, &indexed}) {
      at::Tensor x = tokens.clone().requires_grad_();
      pool.zero_grad();
      at::Tensor rows = layout == &dense ? x.flatten(0, 1) : pack(x, lengths);
      if (layout == &indexed) rows = at::cat({rows, at::full({17 - rows.size(0), 5}, 3.0, rows.options())});
      const at::Tensor out = pool.forward(rows, *layout);
      (out * weight).sum().backward();
      values.push_back(out);
      gradients.push_back(x.grad());
      of_query.push_back(pool.query.defined() ? pool.query.grad().clone() : at::zeros({1}));
    }
    INFO(static_cast<int>(kind));
    for (const size_t i : {1, 2}) {
      CHECK(difference(values[0], values[i]) < 1e-14);
      CHECK(difference(gradients[0], gradients[i]) < 1e-14);
      CHECK(difference(of_query[0], of_query[i]) < 1e-13);
    }
    CHECK(values[0][2].abs().max().item<double>() == 0);  // the empty sequence
  }
}

TEST_CASE("pooling: attention is a softmax over the real tokens by the learned query, and starts as the mean",
          "[model]") {
  torch::manual_seed(2);
  PoolingImpl pool(PoolingKind::attention, 6);
  const at::Tensor x = at::randn({2, 9, 6}, at::kDouble), lengths = at::tensor({9, 4}, at::kLong);
  const auto layout = ops::TokenLayout::dense(lengths, 2, 9);
  pool.query.set_data(at::zeros({6}, at::kDouble));
  CHECK(difference(pool.forward(x.flatten(0, 1), layout)[1], x[1].narrow(0, 0, 4).mean(0)) < 1e-14);
  pool.query.set_data(at::randn({6}, at::kDouble));
  const at::Tensor real = x[1].narrow(0, 0, 4);
  CHECK(difference(pool.forward(x.flatten(0, 1), layout)[1],
                   at::matmul(at::softmax(at::matmul(real, pool.query), 0), real)) < 1e-14);
  const double error = test::gradient_error(
      [&](const std::vector<at::Tensor>& leaves) {
        pool.query = leaves[1];
        return pool.forward(leaves[0].flatten(0, 1), layout).pow(3).sum();
      },
      {x, pool.query}, 1e-3);
  CHECK(error < 1e-9);
}

TEST_CASE("pooling: cls reads a learned token that stands at position 0, in front of every sequence",
          "[model]") {
  const auto model = make_model(config_of("cls"));
  auto parameters = model->named_parameters();
  CHECK(parameters["encoder.class_token"].sizes() == at::IntArrayRef({16}));
  CHECK(parameters["encoder.position.weight"].size(0) == kMaxLength + 1);
  CHECK(model->forward(make_batch(kMaxLength)).size(1) == kClasses);  // the longest sequence has its room
  CHECK_THROWS_WITH(model->forward(make_batch(kMaxLength + 1)), test::contains_text("position table"));

  // A model without it whose first id has the token's vector computes the same.
  Config plain = config_of("cls");
  plain.model.pooling = "mean";
  const Batch batch = make_batch(9);
  auto same = [&] {
    torch::manual_seed(3);
    auto twin = build_classifier(plain, kVocabulary + 1, kMaxLength + 1, kClasses, 1);
    twin->to(at::kDouble);
    twin->eval();
    const torch::NoGradGuard no_grad;
    for (auto& item : twin->named_parameters()) {
      if (item.key() == "encoder.token.weight") {
        item.value().narrow(0, 0, kVocabulary).copy_(parameters["encoder.token.weight"]);
        item.value()[kVocabulary].copy_(parameters["encoder.class_token"]);
      } else {
        item.value().copy_(parameters[item.key()]);
      }
    }
    return twin;
  }();
  const at::Tensor ids = at::cat({at::full({3, 1}, kVocabulary, at::kLong), batch.ids[0]}, 1);
  const at::Tensor lengths = batch.lengths[0] + 1;
  const auto layout = same->encoder().layout({ids, lengths, {}});
  const at::Tensor x = same->encoder().forward(ids, layout, {});
  const at::Tensor first = PoolingImpl(PoolingKind::cls, 16).forward(x, layout);
  const TokenBatch own = model->encoder().with_class_token({batch.ids[0], batch.lengths[0], {}});
  const auto own_layout = model->encoder().layout(own);
  const at::Tensor y = model->encoder().forward(own.ids, own_layout, own.positions);
  CHECK(difference(PoolingImpl(PoolingKind::cls, 16).forward(y, own_layout), first) < 1e-12);

  // It learns, and so does what it reads.
  model->forward(batch).square().sum().backward();
  CHECK(parameters["encoder.class_token"].grad().abs().max().item<double>() > 1e-6);
  CHECK(parameters["encoder.token.weight"].grad().abs().max().item<double>() > 1e-9);
}

TEST_CASE("pooling: each of two sequences is pooled by itself, real input has a class token too", "[model]") {
  for (const std::string& pooling : kPoolings) {
    INFO(pooling);
    const auto model = make_model(config_of(pooling, "lotformer"), 2);
    Batch batch = make_batch(10, 2);
    const at::Tensor before = model->forward(batch);
    CHECK(before.sizes() == at::IntArrayRef({3, kClasses}));
    batch.ids[1][2][0] = (batch.ids[1][2][0] + 1) % kVocabulary;  // the second sequence of the last example
    const at::Tensor after = model->forward(batch);
    CHECK(after.narrow(0, 0, 2).equal(before.narrow(0, 0, 2)));
    CHECK_FALSE(after[2].equal(before[2]));

    Config real = config_of(pooling);
    real.data.input = "real";
    auto grey = build_classifier(real, 256, kMaxLength, kClasses, 1);
    CHECK(grey->forward(make_batch(10)).isfinite().all().item<bool>());
  }
}
