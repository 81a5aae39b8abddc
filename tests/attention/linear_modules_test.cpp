// SPDX-License-Identifier: MIT
// Performer, linear attention and the controls beyond what the golden cases and the property suite hold.
#include <ATen/ATen.h>
#include <torch/utils.h>

#include "lotformer/attention/controls.h"
#include "lotformer/attention/linear.h"
#include "lotformer/attention/performer.h"
#include "lotformer/core/error.h"
#include "lotformer/ops/lengths.h"
#include "lotformer/ops/random_features.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::lengths_of;

PerformerOptions performer_options(const std::string& mode, int64_t features = 32) {
  PerformerOptions options;
  options.mode = mode;
  options.features = features;
  return options;
}

at::Tensor softmax_map(const AttentionInputs& x) {
  return at::softmax(at::matmul(x.q, x.k.transpose(2, 3)) / std::sqrt(static_cast<double>(x.q.size(3))), -1);
}

TEST_CASE("performer: the projection is block-orthogonal with Gaussian lengths and follows the seed") {
  torch::manual_seed(4);
  const at::Tensor w = ops::orthogonal_projection(20, 8).to(at::kDouble);
  REQUIRE(w.sizes() == at::IntArrayRef({20, 8}));
  for (int64_t row = 0; row < 20; row += 8) {
    const at::Tensor block = w.narrow(0, row, std::min<int64_t>(8, 20 - row));
    const at::Tensor gram = at::matmul(block, block.t());
    CHECK_NEAR(gram, at::diag(gram.diagonal()), 1e-5);
  }
  // E |row|^2 = D; the mean over 8,000 rows has a standard deviation of sqrt(2 D / 8000) = 0.045.
  const at::Tensor many = ops::orthogonal_projection(8000, 8).to(at::kDouble);
  CHECK(std::abs(many.square().sum(1).mean().item<double>() - 8) < 0.25);
  CHECK(std::abs(many.mean().item<double>()) < 0.02);
  torch::manual_seed(4);
  CHECK(test::same_bits(ops::orthogonal_projection(20, 8).to(at::kDouble), w));
}

TEST_CASE("performer: the estimate approaches softmax attention as the features grow") {
  torch::manual_seed(8);
  const AttentionInputs x = attention_inputs({1, 2, 24, 8}, at::kDouble, 3, 0.5);
  const at::Tensor exact = softmax_map(x);
  const auto error = [&](int64_t features) {
    PerformerAttentionImpl module(performer_options("masked", features), {.heads = 2, .head_dim = 8});
    return (test::dense_map(module, x.q, x.k, {}) - exact).norm().item<double>() /
           exact.norm().item<double>();
  };
  const double coarse = error(16), fine = error(65536);
  CHECK(fine < 0.02);  // 1/sqrt(m) times a constant of about one
  CHECK(coarse > 5 * fine);
}

TEST_CASE("performer: without the small constant, the published arithmetic and the two softmaxes agree") {
  torch::manual_seed(2);
  const AttentionInputs x = attention_inputs({2, 2, 15, 8}, at::kDouble, 5, 0.5);
  const at::Tensor w = ops::orthogonal_projection(64, 8).to(at::kDouble);
  const at::Tensor mask = ops::length_mask(lengths_of({15, 9}), 15);
  const at::Tensor ours = ops::favor_attention(x.q, x.k, x.v, w, mask);
  const at::Tensor published = ops::favor_attention_published(x.q, x.k, x.v, w, mask);
  CHECK_RELATIVE(ours, published, 0.05);  // the constant is worth up to a few percent here
  CHECK((ours - published).abs().max().item<double>() > 1e-6);  // and is not nothing
}

TEST_CASE("performer: gradients of every mode and kernel in float64") {
  torch::manual_seed(6);
  const at::Tensor lengths = lengths_of({9, 4});
  const AttentionInputs x = attention_inputs({2, 2, 9, 4}, at::kDouble, 9);
  const at::Tensor weight = attention_inputs({2, 2, 9, 4}, at::kDouble, 10).q;
  for (const auto& [mode, kernel] : std::vector<std::pair<std::string, std::string>>{
           {"masked", "softmax"}, {"masked", "relu"}, {"favor", "softmax"}, {"reference", "softmax"}}) {
    INFO(mode << ", " << kernel);
    PerformerOptions options = performer_options(mode);
    options.kernel = kernel;
    PerformerAttentionImpl module(options, {.heads = 2, .head_dim = 4});
    module.to(at::kDouble);
    const double error = test::gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          return (module.forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
        },
        {x.q, x.k, x.v}, kernel == "relu" ? 1e-7 : 1e-4);  // relu: a small step, to stay between kinks
    CHECK(error < 1e-5);
  }
}

TEST_CASE("performer: relu kernel has rows that sum to one and is no softmax") {
  const AttentionInputs x = attention_inputs({1, 1, 10, 8}, at::kDouble, 1);
  PerformerOptions options = performer_options("masked", 64);
  options.kernel = "relu";
  PerformerAttentionImpl module(options, {.heads = 1, .head_dim = 8});
  module.to(at::kDouble);
  const at::Tensor map = test::dense_map(module, x.q, x.k, {});
  CHECK_NEAR(map.sum(3), at::ones({1, 1, 10}, at::kDouble), 1e-12);
  CHECK((map - softmax_map(x)).abs().max().item<double>() > 0.01);
  options.mode = "favor";
  CHECK_THROWS_AS(PerformerAttentionImpl(options, {.heads = 1, .head_dim = 8}), Error);
}

TEST_CASE("performer: redraws on schedule in training only, and a restored counter continues it") {
  const AttentionInputs x = attention_inputs({1, 1, 5, 4}, at::kFloat, 2);
  PerformerOptions options = performer_options("masked", 16);
  options.redraw_every = 2;
  PerformerAttentionImpl module(options, {.heads = 1, .head_dim = 4});
  const auto changed_by = [&](PerformerAttentionImpl& m) {
    const at::Tensor before = m.projection.clone();
    m.forward(x.q, x.k, x.v, {});
    return !test::same_bits(m.projection, before);
  };
  module.eval();
  for (int i = 0; i < 5; ++i) CHECK_FALSE(changed_by(module));
  module.train();
  const std::vector<bool> expected = {false, false, true, false, true};
  for (const bool changes : expected) CHECK(changed_by(module) == changes);
  PerformerAttentionImpl restored(options, {.heads = 1, .head_dim = 4});
  for (auto& buffer : restored.named_buffers()) {
    const at::Tensor* source = module.named_buffers().find(buffer.key());
    REQUIRE(source != nullptr);
    buffer.value().copy_(*source);
  }
  CHECK_FALSE(changed_by(restored));  // call 6 of the schedule
  CHECK(changed_by(restored));
}

TEST_CASE("linear attention: the quadratic form of the paper") {
  const AttentionInputs x = attention_inputs({1, 2, 7, 4}, at::kDouble, 4);
  LinearAttentionImpl module({}, {.heads = 2, .head_dim = 4});
  const auto phi = [](const at::Tensor& t) { return at::elu(t) + 1; };
  const at::Tensor kernel = at::matmul(phi(x.q), phi(x.k).transpose(2, 3));
  CHECK_RELATIVE(module.forward(x.q, x.k, x.v, {}), at::matmul(kernel / kernel.sum(3, true), x.v), 1e-5);
}

TEST_CASE("controls: mean averages real tokens, none is zero") {
  const AttentionInputs x = attention_inputs({2, 1, 6, 3}, at::kDouble, 4);
  MeanAttentionImpl mean({}, {.heads = 1, .head_dim = 3});
  const at::Tensor out = mean.forward(x.q, x.k, x.v, lengths_of({6, 2}));
  CHECK_NEAR(out[1].narrow(1, 0, 2), x.v[1].narrow(1, 0, 2).mean(1, true).expand({1, 2, 3}), 1e-15);
  CHECK_NEAR(out[1].narrow(1, 2, 4), at::zeros({1, 4, 3}, at::kDouble), 0);
  NoAttentionImpl none({}, {.heads = 1, .head_dim = 3});
  CHECK_NEAR(none.forward(x.q, x.k, x.v, {}), at::zeros_like(x.v), 0);
}

}  // namespace
}  // namespace lotformer
