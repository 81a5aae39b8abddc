// SPDX-License-Identifier: MIT
#include "lotformer/attention/softmax.h"

#include <ATen/ATen.h>

#include "lotformer/core/error.h"
#include "lotformer/ops/lengths.h"
#include "lotformer/ops/softmax_dropout.h"
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

at::Tensor naive(const AttentionInputs& x, int64_t queries, int64_t keys) {
  const at::Tensor q = x.q.narrow(2, 0, queries), k = x.k.narrow(2, 0, keys), v = x.v.narrow(2, 0, keys);
  return at::matmul(
      at::softmax(at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3))), -1), v);
}

TEST_CASE("softmax: both modes over real keys") {
  const AttentionInputs x = attention_inputs({1, 2, 11, 4}, at::kDouble);
  SoftmaxAttentionImpl masked({}, {.heads = 2, .head_dim = 4});
  SoftmaxOptions published;
  published.mode = "reference";
  SoftmaxAttentionImpl reference(published, {.heads = 2, .head_dim = 4});
  const at::Tensor out = masked.forward(x.q, x.k, x.v, lengths_of({7}));
  CHECK_NEAR(out.narrow(2, 0, 7), naive(x, 7, 7), 1e-12);
  CHECK_NEAR(out.narrow(2, 7, 4), at::zeros({1, 2, 4, 4}, at::kDouble), 0);
  CHECK_NEAR(reference.forward(x.q, x.k, x.v, lengths_of({7})), naive(x, 11, 7), 1e-12);
  CHECK_NEAR(masked.forward(x.q, x.k, x.v, {}), naive(x, 11, 11), 1e-12);
  // Without a real token: nothing, or, as published, an unmasked sequence.
  CHECK_NEAR(masked.forward(x.q, x.k, x.v, lengths_of({0})), at::zeros_like(x.q), 0);
  CHECK_NEAR(reference.forward(x.q, x.k, x.v, lengths_of({0})), naive(x, 11, 11), 1e-12);
}

TEST_CASE("softmax: dropout on the weights is unbiased, repeatable and off in evaluation") {
  const AttentionInputs x = attention_inputs({2, 2, 9, 4}, at::kDouble, 5);
  const at::Tensor lengths = lengths_of({9, 6});
  SoftmaxAttentionImpl module({}, {.heads = 2, .head_dim = 4, .dropout = 0.25});
  module.eval();
  const at::Tensor expected = module.forward(x.q, x.k, x.v, lengths);
  module.train();
  at::manual_seed(3);
  const at::Tensor first = module.forward(x.q, x.k, x.v, lengths);
  const at::Tensor second = module.forward(x.q, x.k, x.v, lengths);
  at::manual_seed(3);
  CHECK(test::same_bits(module.forward(x.q, x.k, x.v, lengths), first));
  CHECK_FALSE(test::same_bits(first, second));
  at::Tensor mean = at::zeros_like(expected);
  constexpr int64_t kDraws = 1000;
  for (int64_t i = 0; i < kDraws; ++i) mean += module.forward(x.q, x.k, x.v, lengths) / kDraws;
  CHECK_NEAR(mean, expected, 0.12);
  // One weight in four is dropped, the others are divided by 3/4.
  const at::Tensor uniform = at::zeros({1, 1, 64, 64}, at::kDouble);
  const at::Tensor weights =
      64 * ops::softmax_attention_with_dropout(
               uniform, uniform, at::eye(64, at::kDouble).expand({1, 1, 64, 64}), {}, false, 0.25);
  CHECK((weights.eq(0).logical_or((weights - 4.0 / 3).abs() < 1e-12)).all().item<bool>());
  CHECK(weights.eq(0).to(at::kDouble).mean().item<double>() == Catch::Approx(0.25).margin(0.03));
}

TEST_CASE("softmax: dropout chooses anew for every sequence, head and row") {
  const at::Tensor uniform =
      at::zeros({2, 2, 1024, 1024}, at::kFloat);  // 1024 x 1024 weights: four blocks of rows
  const at::Tensor dropped =
      ops::softmax_attention_with_dropout(uniform, uniform, at::eye(1024).expand_as(uniform), {}, false, 0.5)
          .eq(0);
  const at::Tensor rows = dropped.flatten(0, 2).to(at::kFloat);  // [2 * 2 * 1024, 1024]
  for (const int64_t distance : {1, 256, 512, 1024, 2048}) {
    const int64_t count = rows.size(0) - distance;
    const at::Tensor same =
        rows.narrow(0, 0, count).eq(rows.narrow(0, distance, count)).to(at::kFloat).mean(1);
    INFO("rows " << distance << " apart");
    CHECK(same.max().item<double>() <
          0.62);  // of 1024 fair coins half agree, 0.6 is more than six deviations away
    CHECK(same.mean().item<double>() == Catch::Approx(0.5).margin(0.002));
  }
}

TEST_CASE("softmax: gradient through dropout, over several blocks of rows") {
  const at::Tensor lengths = lengths_of({9, 4});
  const AttentionInputs x = attention_inputs({2, 2, 9, 4}, at::kDouble, 6);
  const at::Tensor weight = attention_inputs({2, 2, 9, 4}, at::kDouble, 7).q;
  for (const bool padded_queries : {false, true}) {
    const double error = test::gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          at::manual_seed(17);  // the same weights are dropped in every evaluation
          return (ops::softmax_attention_with_dropout(leaves[0], leaves[1], leaves[2], lengths,
                                                      padded_queries, 0.3) *
                  weight)
              .sum();
        },
        {x.q, x.k, x.v}, 1e-3);
    CHECK(error < 1e-8);
  }
  // 3000 x 3000 weights do not fit one block: without anything dropped the blocks add up to plain attention.
  const AttentionInputs large = attention_inputs({1, 1, 3000, 4}, at::kFloat, 8);
  const at::Tensor q = large.q.clone().requires_grad_(), k = large.k.clone().requires_grad_(),
                   v = large.v.clone().requires_grad_();
  const at::Tensor expected = naive({q, k, v}, 3000, 3000);
  (expected * large.q).sum().backward();
  const std::vector<at::Tensor> gradients = {q.grad().clone(), k.grad().clone(), v.grad().clone()};
  for (const at::Tensor& leaf : {q, k, v}) leaf.mutable_grad().reset();
  const at::Tensor out = ops::softmax_attention_with_dropout(q, k, v, {}, false, 1e-12);
  (out * large.q).sum().backward();
  CHECK_RELATIVE(out, expected, 1e-5);
  CHECK_RELATIVE(q.grad(), gradients[0], 1e-4);
  CHECK_RELATIVE(k.grad(), gradients[1], 1e-4);
  CHECK_RELATIVE(v.grad(), gradients[2], 1e-4);
}

TEST_CASE("attention inputs that disagree are refused with a sentence") {
  SoftmaxAttentionImpl module({}, {.heads = 2, .head_dim = 4});
  const AttentionInputs x = attention_inputs({2, 2, 5, 4}, at::kFloat);
  CHECK_THROWS_WITH(module.forward(x.q, x.k.narrow(2, 0, 4), x.v, {}),
                    test::contains_text("k has shape [2, 2, 4, 4], q has [2, 2, 5, 4]"));
  CHECK_THROWS_WITH(module.forward(x.q, x.k, x.v.to(at::kDouble), {}),
                    test::contains_text("v is Double, q is Float"));
  CHECK_THROWS_WITH(module.forward(x.q[0], x.k[0], x.v[0], {}),
                    test::contains_text("[B, H, N, D] is expected"));
  CHECK_THROWS_WITH(module.forward(x.q, x.k, x.v, lengths_of({5})),
                    test::contains_text("int64 [2] is expected"));
  CHECK_THROWS_AS(find_attention("softmx"), Error);
  CHECK_THROWS_WITH(find_attention("softmx"), test::contains_text("lotformer"));
}

}  // namespace
}  // namespace lotformer
