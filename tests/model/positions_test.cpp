// SPDX-License-Identifier: MIT
// model.position_init and model.end_positions.
#include <ATen/ATen.h>
#include <torch/utils.h>

#include <cmath>

#include "lotformer/model/classifier.h"
// after torch
#include "support/catch.h"

using namespace lotformer;

namespace {

std::shared_ptr<EncoderImpl> make_encoder(bool sinusoidal, bool end_positions) {
  torch::manual_seed(3);
  EncoderOptions options{11, 40, 2, 16, 2, 8, 24, 0};
  options.sinusoidal_start = sinusoidal;
  options.end_positions = end_positions;
  const AttentionSpec& spec = find_attention("softmax");
  auto encoder = std::make_shared<EncoderImpl>(
      options, [&](const AttentionShape& shape) { return spec.build(*spec.options(), shape); });
  encoder->to(at::kDouble);
  encoder->eval();
  return encoder;
}

}  // namespace

TEST_CASE("a sinusoidal start has the size of the normal one, and near places are alike", "[model]") {
  const at::Tensor table = make_encoder(true, false)->named_parameters()["position.weight"].to(at::kDouble);
  CHECK(std::abs(table.square().mean().sqrt().item<double>() - 0.02) < 1e-4);
  // Row p, pair i: sin and cos of p / 10000^(2i / C).
  const double scale = 0.02 * std::sqrt(2.0), angle = 7 / std::pow(10000.0, 4.0 / 16);
  CHECK(std::abs(table[7][4].item<double>() - scale * std::sin(angle)) < 1e-8);
  CHECK(std::abs(table[7][5].item<double>() - scale * std::cos(angle)) < 1e-8);
  const auto distance = [&](int64_t a, int64_t b) { return (table[a] - table[b]).norm().item<double>(); };
  CHECK(distance(0, 1) < 0.5 * distance(0, 20));
}

TEST_CASE("end positions: the last real token has row 0, wherever the padding begins", "[model]") {
  const auto encoder = make_encoder(false, true);
  const torch::NoGradGuard no_grad;
  torch::manual_seed(5);
  const at::Tensor ids = at::randint(1, 11, {3, 12}, at::kLong), lengths = at::tensor({12, 5, 1}, at::kLong);
  const auto run = [&](const at::Tensor& some_ids, const at::Tensor& some_lengths) {
    const auto layout = ops::TokenLayout::dense(some_lengths, some_ids.size(0), some_ids.size(1));
    return encoder->forward(some_ids, layout, {}).view({some_ids.size(0), some_ids.size(1), -1});
  };
  const at::Tensor before = run(ids, lengths);
  at::Tensor table = encoder->named_parameters()["end_position.weight"];
  // Only the tokens that stand n - 1 - i places before the end move when that row does: here, alone in its
  // sequence, the last.
  table[0][3] += 1;
  const at::Tensor moved = run(ids, lengths);
  CHECK((moved[2][0] - before[2][0]).abs().max().item<double>() > 1e-3);
  table[0][3] -= 1;
  table[5][3] += 1;  // no place of the second sequence, which has 5 tokens
  const at::Tensor other = run(ids, lengths);
  CHECK((other[1] - before[1]).narrow(0, 0, 5).abs().max().item<double>() < 1e-12);
  CHECK((other[0] - before[0]).abs().max().item<double>() > 1e-3);
  table[5][3] -= 1;
  // More padding, or none with the length left out: the same.
  const at::Tensor longer = run(at::cat({ids, at::full({3, 4}, 2, at::kLong)}, 1), lengths);
  CHECK((longer[1].narrow(0, 0, 5) - before[1].narrow(0, 0, 5)).abs().max().item<double>() < 1e-9);
  CHECK((run(ids.narrow(0, 0, 1), {}) - before.narrow(0, 0, 1)).abs().max().item<double>() < 1e-9);
  // Packed and indexed tokens see the same.
  for (const auto& layout :
       {ops::TokenLayout::packed(lengths, 12), ops::TokenLayout::indexed(lengths, 12, 20)}) {
    const auto rows = encoder->forward(ids, layout, {});
    CHECK((rows.narrow(0, 12, 5) - before[1].narrow(0, 0, 5)).abs().max().item<double>() < 1e-9);
  }
}
