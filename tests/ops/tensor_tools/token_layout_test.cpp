// SPDX-License-Identifier: MIT
// Batches without their padding: the same numbers as with it, for every attention of the table.
#include "lotformer/ops/token_layout.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
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
#include "lotformer/ops/embedding.h"
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

constexpr int64_t kTokens = 27, kSlots = 32;  // real ones, and rows of the indexed layout

TokenLayout layout_of(const std::string& name) {
  const at::Tensor lengths = some_lengths();
  if (name == "packed") return TokenLayout::packed(lengths, kWidth);
  return name == "indexed" ? TokenLayout::indexed(lengths, kWidth, kSlots)
                           : TokenLayout::dense(lengths, lengths.size(0), kWidth);
}

/// Rows of the layout for a batch [B, N, C]; what is no token holds `filler`.
at::Tensor rows_of(const at::Tensor& batch, const TokenLayout& layout, double filler) {
  if (!layout.is_packed() && !layout.is_indexed()) return batch.flatten(0, 1);
  const at::Tensor rows = real_rows(batch, layout.lengths());
  return at::cat({rows, at::full({layout.rows() - rows.size(0), rows.size(1)}, filler, rows.options())});
}

/// The rows of real tokens.
at::Tensor tokens_of(const at::Tensor& rows, const TokenLayout& layout) {
  if (layout.is_packed() || layout.is_indexed()) return rows.narrow(0, 0, kTokens);
  return real_rows(rows.view({layout.sequences(), layout.width(), rows.size(1)}), layout.lengths());
}

/// Gradients of sum(weight * real rows) of a fresh encoder's output, and these rows.
std::vector<at::Tensor> rows_and_gradients(const std::string& kind, const TokenLayout& layout,
                                           const at::Tensor& positions) {
  const auto encoder = make_encoder(kind, *find_attention(kind).options());
  encoder->eval();
  torch::manual_seed(4);
  const at::Tensor ids = at::randint(1, 11, {4, kWidth}, at::kLong);
  const at::Tensor out = encoder->forward(ids, layout, positions);
  const at::Tensor rows = tokens_of(out, layout);
  torch::manual_seed(5);
  (rows * at::randn_like(rows)).sum().backward();
  std::vector<at::Tensor> result = {rows.detach()};
  for (const at::Tensor& parameter : encoder->parameters())
    result.push_back(parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
  return result;
}

}  // namespace

TEST_CASE("heads of tokens without padding are those of the dense batch, with zeros in padding", "[layout]") {
  const at::Tensor lengths = some_lengths();
  const TokenLayout dense = layout_of("dense");
  torch::manual_seed(1);
  for (const char* name : {"packed", "indexed"}) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      INFO(name << " " << type);
      const TokenLayout layout = layout_of(name);
      const at::Tensor batch = at::randn({4, kWidth, 3 * kHeads * kHeadDim}, type);
      const at::Tensor tokens = rows_of(batch, layout, 99);
      const auto got = ops::split_heads(tokens, layout, kHeads),
                 expected = ops::split_heads(batch.flatten(0, 1), dense, kHeads);
      const at::Tensor mask = ops::length_mask(lengths, kWidth);
      for (size_t i = 0; i < 3; ++i) {
        CHECK(got[i].equal(ops::select_real_tokens(expected[i], mask)));
        const at::Tensor joined = tokens_of(ops::join_heads(got[i], layout), layout);
        CHECK(joined.equal(tokens_of(ops::join_heads(expected[i], dense), dense)));
        CHECK(tokens_of(ops::join_heads(expected[i], layout), layout).equal(joined));  // other strides
      }
    }
  }
  const at::Tensor numbers = at::randperm(4 * kWidth).view({4, kWidth});
  CHECK(layout_of("packed").arrange(numbers).size(0) == kTokens);
  CHECK(layout_of("indexed")
            .arrange(numbers)
            .narrow(0, 0, kTokens)
            .equal(layout_of("packed").arrange(numbers)));
}

TEST_CASE("layouts of empty batches, and lengths that do not fit", "[layout]") {
  const at::Tensor none = at::tensor({0, 0}, at::kLong);
  const TokenLayout empty = TokenLayout::packed(none, kWidth);
  CHECK(ops::split_heads(at::randn({0, 18}), empty, kHeads)[1].eq(0).all().item<bool>());
  const TokenLayout slots = TokenLayout::indexed(none, kWidth, 3);
  CHECK(ops::split_heads(at::randn({3, 18}), slots, kHeads)[1].eq(0).all().item<bool>());
  CHECK(ops::sum_tokens(at::randn({3, 18}), slots).eq(0).all().item<bool>());
  CHECK_THROWS_WITH(TokenLayout::packed(at::tensor({3, 20}, at::kLong), kWidth),
                    test::contains_text("sequence 1 has 20"));
  CHECK_THROWS_WITH(TokenLayout::packed(at::tensor({-1}, at::kLong), kWidth), test::contains_text("has -1"));
}

TEST_CASE("gradients of splitting, joining and summing tokens without padding", "[layout]") {
  const at::Tensor lengths = some_lengths();
  torch::manual_seed(2);
  const at::Tensor batch = at::randn({4, kWidth, 3 * kHeads * kHeadDim}, at::kDouble);
  const at::Tensor weights = at::randn({3, 4, kHeads, kWidth, kHeadDim}, at::kDouble);
  const at::Tensor sum_weights = at::randn({4, kHeads * kHeadDim}, at::kDouble);
  // Which of q, k, v the loss sees; parts it does not see have no gradient at all.
  for (const std::vector<size_t>& used : {std::vector<size_t>{0, 1, 2}, {1}, {}}) {
    std::vector<at::Tensor> gradients;
    for (const char* name : {"dense", "packed", "indexed"}) {
      const TokenLayout layout = layout_of(name);
      const at::Tensor x = rows_of(batch, layout, 99).detach().clone().requires_grad_();
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
      gradients.push_back(tokens_of(x.grad(), layout));
      if (layout.is_indexed()) CHECK(x.grad().narrow(0, kTokens, kSlots - kTokens).eq(0).all().item<bool>());
    }
    for (const size_t i : {1, 2}) CHECK((gradients[0] - gradients[i]).abs().max().item<double>() < 1e-13);
  }
}

TEST_CASE("a NaN stays in its sequence, and rows without a token reach nothing", "[layout]") {
  const TokenLayout layout = layout_of("indexed");
  at::Tensor x = at::ones({kSlots, 4});
  x[8][0] = NAN;  // of the third sequence
  x.narrow(0, kTokens, kSlots - kTokens).fill_(NAN);
  const at::Tensor sums = ops::sum_tokens(x, layout);
  for (const int64_t b : {0, 1, 3}) CHECK(sums[b].eq(some_lengths()[b].item<double>()).all().item<bool>());
  CHECK(sums[2][0].isnan().item<bool>());
}

TEST_CASE("the gradient of a table by a matrix product is torch's", "[layout]") {
  torch::manual_seed(9);
  const at::Tensor ids = at::randint(0, 6, {50}, at::kLong), d_out = at::randn({50, 3}, at::kDouble);
  std::vector<at::Tensor> gradients, values;
  for (const bool product : {false, true}) {
    torch::manual_seed(10);
    const at::Tensor table = at::randn({7, 3}, at::kDouble).requires_grad_();  // row 6 is never asked for
    const at::Tensor out = product ? ops::embedding_by_product(table, ids) : ops::embedding(table, ids);
    (out * d_out).sum().backward();
    values.push_back(out);
    gradients.push_back(table.grad());
  }
  CHECK(values[0].equal(values[1]));
  CHECK((gradients[0] - gradients[1]).abs().max().item<double>() < 1e-13);
}

TEST_CASE("the encoder gives the same rows and gradients without padding", "[layout][model]") {
  torch::manual_seed(6);
  const at::Tensor shuffled =
      at::stack({at::randperm(kWidth), at::randperm(kWidth), at::randperm(kWidth), at::randperm(kWidth)});
  for (const AttentionSpec& spec : attention_specs()) {
    for (const at::Tensor& positions : {at::Tensor(), shuffled}) {
      INFO(spec.kind << (positions.defined() ? " with positions" : ""));
      const auto expected = rows_and_gradients(spec.kind, layout_of("dense"), positions);
      for (const char* name : {"packed", "indexed"}) {
        const auto got = rows_and_gradients(spec.kind, layout_of(name), positions);
        REQUIRE(got.size() == expected.size());
        for (size_t i = 0; i < got.size(); ++i) {
          INFO(name << ", tensor " << i);
          const double size = std::max(1.0, expected[i].abs().max().item<double>());
          CHECK((got[i] - expected[i]).abs().max().item<double>() < 1e-9 * size);
        }
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
    CHECK(encoder->layout({ids, lengths, {}}).is_packed());
    CHECK(encoder->layout({ids, lengths, {}, kSlots}).is_indexed());
    CHECK_FALSE(encoder->layout({ids, {}, {}}).is_packed());
  }
  LotformerOptions lotformer;
  lotformer.mode = "reference";
  CHECK_FALSE(make_encoder("lotformer", lotformer)->layout({ids, lengths, {}}).is_packed());
  SoftmaxOptions softmax;
  softmax.mode = "reference";
  CHECK_FALSE(make_encoder("softmax", softmax)->layout({ids, lengths, {}}).is_packed());
}

TEST_CASE("with dropout too, the amount of padding changes nothing beyond rounding", "[layout][model]") {
  const auto encoder = make_encoder("mean", *find_attention("mean").options(), 0.3);
  encoder->train();
  torch::manual_seed(7);
  const at::Tensor ids = at::randint(1, 11, {4, kWidth + 12}, at::kLong), lengths = some_lengths();
  const auto rows = [&](int64_t width) {
    torch::manual_seed(8);
    const at::Tensor shown = ids.narrow(1, 0, width);
    return encoder->forward(shown, encoder->layout({shown, lengths, {}}), {});
  };
  CHECK((rows(kWidth) - rows(kWidth + 12)).abs().max().item<double>() < 1e-12);
}
