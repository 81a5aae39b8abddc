// SPDX-License-Identifier: MIT
// Batches without their padding: the same numbers as with it, for every attention of the table.
#include "lotformer/ops/token_layout.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <torch/utils.h>

#include "lotformer/attention/lotformer.h"
#include "lotformer/attention/softmax.h"
#include "lotformer/model/classifier.h"
#include "lotformer/ops/lengths.h"
// after torch
#include "support/catch.h"

using namespace lotformer;
using ops::TokenLayout;

namespace {

constexpr int64_t kWidth = 19, kHeads = 2, kHeadDim = 3;

at::Tensor some_lengths() {
  return at::tensor({7, 0, 19, 1}, at::kLong);
}

/// The real rows of x [B, N, ...], one sequence after the other.
at::Tensor real_rows(const at::Tensor& x, const at::Tensor& lengths) {
  std::vector<at::Tensor> rows;
  for (int64_t b = 0; b < x.size(0); ++b) rows.push_back(x[b].narrow(0, 0, lengths[b].item<int64_t>()));
  return at::cat(rows);
}

std::shared_ptr<EncoderImpl> make_encoder(const std::string& kind, const Options& options,
                                          double dropout = 0) {
  torch::manual_seed(3);
  auto encoder = std::make_shared<EncoderImpl>(
      EncoderOptions{11, 40, 2, 16, 2, 8, 24, dropout},
      [&](const AttentionShape& shape) { return find_attention(kind).build(options, shape); });
  encoder->to(at::kDouble);
  return encoder;
}

/// Gradients of sum(weight * real rows) of a fresh encoder's output, and these rows.
std::vector<at::Tensor> rows_and_gradients(const std::string& kind, const TokenLayout& layout,
                                           const at::Tensor& positions) {
  const auto encoder = make_encoder(kind, *find_attention(kind).options());
  encoder->eval();
  torch::manual_seed(4);
  const at::Tensor ids = at::randint(1, 11, {4, kWidth}, at::kLong);
  const at::Tensor out = encoder->forward(ids, layout, positions);
  const at::Tensor rows = layout.is_packed() ? out : real_rows(out, layout.lengths());
  torch::manual_seed(5);
  (rows * at::randn_like(rows)).sum().backward();
  std::vector<at::Tensor> result = {rows.detach()};
  for (const at::Tensor& parameter : encoder->parameters())
    result.push_back(parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
  return result;
}

}  // namespace

TEST_CASE("heads of packed tokens are those of the dense batch, with zeros in padding", "[layout]") {
  const at::Tensor lengths = some_lengths();
  const TokenLayout packed = TokenLayout::packed(lengths, kWidth),
                    dense = TokenLayout::dense(lengths, kWidth);
  torch::manual_seed(1);
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor batch = at::randn({4, kWidth, 3 * kHeads * kHeadDim}, type);
    const at::Tensor tokens = real_rows(batch, lengths);
    const auto got = ops::split_heads(tokens, packed, kHeads),
               expected = ops::split_heads(batch, dense, kHeads);
    const at::Tensor mask = ops::length_mask(lengths, kWidth);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(got[i].equal(ops::select_real_tokens(expected[i], mask)));
      CHECK(ops::join_heads(got[i], packed).equal(real_rows(ops::join_heads(expected[i], dense), lengths)));
      CHECK(ops::join_heads(expected[i], packed).equal(ops::join_heads(got[i], packed)));  // other strides
    }
  }
  CHECK(packed.arrange(at::randperm(4 * kWidth).view({4, kWidth})).size(0) == 27);
  const TokenLayout empty = TokenLayout::packed(at::tensor({0, 0}, at::kLong), kWidth);
  CHECK(ops::split_heads(at::randn({0, 18}), empty, kHeads)[1].eq(0).all().item<bool>());
  CHECK_THROWS_WITH(TokenLayout::packed(at::tensor({3, 20}, at::kLong), kWidth),
                    test::contains_text("sequence 1 has 20"));
  CHECK_THROWS_WITH(TokenLayout::packed(at::tensor({-1}, at::kLong), kWidth), test::contains_text("has -1"));
}

TEST_CASE("gradients of splitting, joining and summing packed tokens", "[layout]") {
  const at::Tensor lengths = some_lengths();
  torch::manual_seed(2);
  const at::Tensor batch = at::randn({4, kWidth, 3 * kHeads * kHeadDim}, at::kDouble);
  const at::Tensor weights = at::randn({3, 4, kHeads, kWidth, kHeadDim}, at::kDouble);
  const at::Tensor sum_weights = at::randn({4, kHeads * kHeadDim}, at::kDouble);
  // Which of q, k, v the loss sees; parts it does not see have no gradient at all.
  for (const std::vector<size_t>& used : {std::vector<size_t>{0, 1, 2}, {1}, {}}) {
    std::vector<at::Tensor> gradients;
    for (const bool pack : {false, true}) {
      const TokenLayout layout =
          pack ? TokenLayout::packed(lengths, kWidth) : TokenLayout::dense(lengths, kWidth);
      const at::Tensor x = (pack ? real_rows(batch, lengths) : batch.clone()).detach().requires_grad_();
      const auto parts = ops::split_heads(x, layout, kHeads);
      at::Tensor loss = (x * x).sum() * 0;
      for (const size_t i : used) {
        const at::Tensor real = ops::select_real_tokens(parts[i] * weights[static_cast<int64_t>(i)],
                                                        ops::length_mask(lengths, kWidth));
        const at::Tensor turned =
            real.transpose(2, 3).square().transpose(2, 3);  // a gradient of other strides
        const at::Tensor sums = ops::sum_tokens(ops::join_heads(turned, layout), layout);
        loss = loss + (sums * sum_weights).sum() + real.sum();
      }
      loss.backward();
      gradients.push_back(pack ? x.grad() : real_rows(x.grad(), lengths));
    }
    CHECK((gradients[0] - gradients[1]).abs().max().item<double>() < 1e-13);
  }
}

TEST_CASE("the encoder gives the same rows and gradients without padding", "[layout][model]") {
  const at::Tensor lengths = some_lengths();
  const TokenLayout packed = TokenLayout::packed(lengths, kWidth),
                    dense = TokenLayout::dense(lengths, kWidth);
  torch::manual_seed(6);
  const at::Tensor shuffled =
      at::stack({at::randperm(kWidth), at::randperm(kWidth), at::randperm(kWidth), at::randperm(kWidth)});
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::Tensor& positions : {at::Tensor(), shuffled}) {
      INFO(spec.kind << (positions.defined() ? " with positions" : ""));
      const auto expected = rows_and_gradients(spec.kind, dense, positions);
      const auto got = rows_and_gradients(spec.kind, packed, positions);
      REQUIRE(got.size() == expected.size());
      for (size_t i = 0; i < got.size(); ++i) {
        INFO("tensor " << i);
        const double size = std::max(1.0, expected[i].abs().max().item<double>());
        CHECK((got[i] - expected[i]).abs().max().item<double>() < 1e-9 * size);
      }
    }
  }
}

TEST_CASE("padding stays where it takes part in the attention, and nowhere else on a CPU",
          "[layout][model]") {
  const at::Tensor ids = at::randint(1, 11, {4, kWidth}, at::kLong), lengths = some_lengths();
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto encoder = make_encoder(spec.kind, *spec.options());
    CHECK(encoder->layout(ids, lengths).is_packed());
    CHECK_FALSE(encoder->layout(ids, {}).is_packed());
  }
  LotformerOptions lotformer;
  lotformer.mode = "reference";
  CHECK_FALSE(make_encoder("lotformer", lotformer)->layout(ids, lengths).is_packed());
  SoftmaxOptions softmax;
  softmax.mode = "reference";
  CHECK_FALSE(make_encoder("softmax", softmax)->layout(ids, lengths).is_packed());
}

TEST_CASE("with dropout too, the amount of padding changes nothing beyond rounding", "[layout][model]") {
  const auto encoder = make_encoder("mean", *find_attention("mean").options(), 0.3);
  encoder->train();
  torch::manual_seed(7);
  const at::Tensor ids = at::randint(1, 11, {4, kWidth + 12}, at::kLong), lengths = some_lengths();
  const auto rows = [&](int64_t width) {
    torch::manual_seed(8);
    const at::Tensor shown = ids.narrow(1, 0, width);
    return encoder->forward(shown, encoder->layout(shown, lengths), {});
  };
  CHECK((rows(kWidth) - rows(kWidth + 12)).abs().max().item<double>() < 1e-12);
}
