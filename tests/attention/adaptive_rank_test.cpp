// SPDX-License-Identifier: MIT
// Surveys of a LOTFormer layer: what they measure, what merges and splits do to the map.
#include <ATen/ATen.h>

#include "lotformer/attention/lotformer.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::lengths_of;

LotformerOptions rank_options(int64_t pivots, int64_t least, int64_t most, double budget,
                              const std::string& masses = "learned") {
  LotformerOptions options;
  options.pivots = pivots;
  options.epsilon = 0.5;
  options.tolerance = options.eval_tolerance = 1e-13;
  options.max_passes = 100;
  options.masses = masses;
  options.adaptive_rank = {.every = 10, .min = least, .max = most, .budget = budget};
  return options;
}

std::shared_ptr<LotformerAttentionImpl> make_module(const LotformerOptions& options, int64_t heads,
                                                    int64_t width) {
  auto module =
      std::make_shared<LotformerAttentionImpl>(options, AttentionShape{.heads = heads, .head_dim = width});
  module->to(at::kDouble);
  at::Generator generator = at::detail::createCPUGenerator(11);
  module->pivots.set_data(at::randn(module->pivots.sizes(), generator, at::kDouble));
  if (options.masses == "learned")
    module->pivot_logits.set_data(0.5 * at::randn(module->pivot_logits.sizes(), generator, at::kDouble));
  module->eval();
  return module;
}

Survey survey(LotformerAttentionImpl& module, const AttentionInputs& x, const at::Tensor& lengths) {
  module.begin_survey();
  const at::Tensor out = module.forward(x.q, x.k, x.v, lengths);
  module.survey_batch(x.q, x.k, lengths);
  (out * x.v.roll(1, 2)).sum().backward();
  return module.end_survey(5);
}

double number(const Survey& survey, const std::string& name) {
  for (const auto& [key, value] : survey.numbers) {
    if (key == name) return value;
  }
  FAIL("no number " << name);
  return 0;
}

}  // namespace

TEST_CASE("adaptive rank: singular values are those of the dense map") {
  const AttentionInputs x = attention_inputs({1, 1, 40, 8}, at::kDouble, 3);
  for (const at::Tensor& lengths : {at::Tensor(), lengths_of({23})}) {
    auto module = make_module(rank_options(6, 6, 6, 0), 1, 8);
    const at::Tensor map = test::dense_map(*module, x.q, x.k, lengths);
    const Survey found = survey(*module, x, lengths);
    const at::Tensor dense = at::linalg_svdvals(map[0][0]).narrow(0, 0, 6);
    CHECK_NEAR(at::tensor(found.singular_values, at::kDouble), dense,
               1e-7);  // roots of eigenvalues: half the digits at 0
    CHECK(found.singular_values.front() == Catch::Approx(1).epsilon(1e-10));
    CHECK(found.resized.empty());  // neither bound leaves room
    CHECK(number(found, "pivots") == 6);
  }
}

TEST_CASE("adaptive rank: the error of a merge is the change of the dense map") {
  const AttentionInputs x = attention_inputs({3, 1, 30, 8}, at::kDouble, 4);
  const at::Tensor lengths = lengths_of({30, 17, 9});
  auto module = make_module(rank_options(5, 4, 5, 10), 1, 8);
  const ops::PivotPlans plans = module->plans(x.q, x.k, lengths);
  const at::Tensor masses = at::softmax(module->pivot_logits.detach(), -1);
  const Survey found = survey(*module, x, lengths);
  REQUIRE(found.resized.size() == 2);
  CHECK(found.resized[0].name == "pivots");
  CHECK(found.resized[1].name == "pivot_logits");
  const at::Tensor s = found.resized[0].gradient_map[0];  // [4, 5]
  CHECK_NEAR(s.sum(0), at::ones({5}, at::kDouble), 0);
  const auto glued = [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& mass) {
    return at::matmul(query.transpose(-2, -1), key / mass.unsqueeze(-1)) *
           lengths.to(at::kDouble).view({3, 1, 1, 1});
  };
  const at::Tensor before = glued(plans.query, plans.key, masses);
  const at::Tensor after =
      glued(at::matmul(s, plans.query), at::matmul(s, plans.key), at::matmul(s, masses[0]).unsqueeze(0));
  const at::Tensor change =
      (after - before).square().sum({1, 2, 3}).sqrt() / before.square().sum({1, 2, 3}).sqrt();
  CHECK(number(found, "merge_error") == Catch::Approx(change.mean().item<double>()).epsilon(1e-9));
  // And it is the cheapest of the ten pairs.
  for (int64_t j = 0; j < 5; ++j) {
    for (int64_t k = j + 1; k < 5; ++k) {
      at::Tensor other = at::eye(5, at::kDouble);
      other[j][k] = 1;
      other = at::cat({other.narrow(0, 0, k), other.narrow(0, k + 1, 4 - k)});
      const at::Tensor map = glued(at::matmul(other, plans.query), at::matmul(other, plans.key),
                                   at::matmul(other, masses[0]).unsqueeze(0));
      const at::Tensor error =
          (map - before).square().sum({1, 2, 3}).sqrt() / before.square().sum({1, 2, 3}).sqrt();
      CHECK(error.mean().item<double>() >= number(found, "merge_error") - 1e-12);
    }
  }
}

TEST_CASE("adaptive rank: duplicates merge for nothing, in every head its own, and the map stays") {
  const AttentionInputs x = attention_inputs({2, 2, 30, 8}, at::kDouble, 4);
  const at::Tensor lengths = lengths_of({30, 17});
  for (const std::string masses : {"learned", "uniform"}) {
    auto module = make_module(rank_options(6, 2, 6, 1e-4, masses), 2, 8);
    const at::Tensor z = module->pivots.detach().clone();
    z[0][4] = z[0][1];
    z[1][2] = z[1][0];
    z[1][5] = z[1][0];  // head 1 could spare two, head 0 only one: the layer gives up one
    module->pivots.set_data(z);
    const at::Tensor mass = at::softmax(module->pivot_logits.detach(), -1);
    const at::Tensor before = module->forward(x.q, x.k, x.v, lengths).detach();
    const Survey found = survey(*module, x, lengths);
    CHECK(number(found, "merged") == 1);
    CHECK(number(found, "split") == 0);
    CHECK(number(found, "merge_error") < 1e-6);
    CHECK(module->pivots.sizes() == at::IntArrayRef({2, 5, 8}));
    CHECK(found.resized.size() == (masses == "learned" ? 2U : 1U));
    const at::Tensor now = at::softmax(module->pivot_logits.detach(), -1);
    CHECK_NEAR(now[0][1], mass[0][1] + mass[0][4], 1e-14);
    CHECK_NEAR(now.sum(-1), at::ones({2}, at::kDouble), 1e-14);
    CHECK_NEAR(module->forward(x.q, x.k, x.v, lengths), before, 1e-9);
  }
}

TEST_CASE("adaptive rank: where nothing can be spared the pivot whose mass is worth most is split") {
  const AttentionInputs x = attention_inputs({2, 2, 30, 8}, at::kDouble, 4);
  auto module = make_module(rank_options(4, 2, 5, 1e-6), 2, 8);
  const at::Tensor before = module->forward(x.q, x.k, x.v, {}).detach();
  // The slope of the loss along more mass of one pivot, by differences.
  const at::Tensor logits = module->pivot_logits.detach().clone(), mass = at::softmax(logits, -1);
  at::Tensor worth = at::zeros({2, 4}, at::kDouble);
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t j = 0; j < 4; ++j) {
      const auto loss = [&](double step) {
        at::Tensor moved = mass.clone();
        moved[h] = moved[h] * (1 - step);
        moved[h][j].add_(step);
        module->pivot_logits.set_data(moved.log());
        return (module->forward(x.q, x.k, x.v, {}).detach() * x.v.roll(1, 2)).sum().item<double>();
      };
      worth[h][j] = -(loss(1e-5) - loss(-1e-5)) / 2e-5;
    }
  }
  module->pivot_logits.set_data(logits);
  const Survey found = survey(*module, x, {});
  CHECK(number(found, "split") == 1);
  CHECK(number(found, "pivots") == 5);
  REQUIRE(found.resized.size() == 2);
  const at::Tensor now = at::softmax(module->pivot_logits.detach(), -1);
  for (int64_t h = 0; h < 2; ++h) {
    const int64_t parent = worth[h].argmax().item<int64_t>();
    CHECK(found.resized[0].gradient_map[h][4][parent].item<double>() == 0.5);
    CHECK(found.resized[0].gradient_map[h][parent][parent].item<double>() == 0.5);
    CHECK_NEAR(now[h][4], mass[h][parent] / 2, 1e-14);
    CHECK_NEAR(now[h][parent], mass[h][parent] / 2, 1e-14);
    CHECK_FALSE(
        module->pivots[h][4].equal(module->pivots[h][parent]));  // else they would stay one pivot for ever
  }
  CHECK_RELATIVE(module->forward(x.q, x.k, x.v, {}), before, 0.05);
  // The halves are alike, so the next survey with a budget takes the split back.
  LotformerOptions generous = rank_options(5, 2, 5, 0.1);
  auto copy = make_module(generous, 2, 8);
  copy->pivots.set_data(module->pivots.detach().clone());
  copy->pivot_logits.set_data(module->pivot_logits.detach().clone());
  CHECK(number(survey(*copy, x, {}), "merged") >= 1);
}

TEST_CASE("adaptive rank: surveys repeat themselves, and a module takes the shape of what is stored") {
  const AttentionInputs x = attention_inputs({2, 2, 30, 8}, at::kDouble, 4);
  auto one = make_module(rank_options(4, 2, 6, 1e-6), 2, 8),
       two = make_module(rank_options(4, 2, 6, 1e-6), 2, 8);
  survey(*one, x, {});
  survey(*two, x, {});
  CHECK(test::same_bits(one->pivots, two->pivots));
  CHECK(test::same_bits(one->pivot_logits, two->pivot_logits));
  CHECK(one->survey_due(10));
  CHECK_FALSE(one->survey_due(0));
  CHECK_FALSE(one->survey_due(11));

  auto fresh = make_module(rank_options(4, 2, 6, 1e-6), 2, 8);
  const auto shape_of = [&](at::Tensor stored) {
    fresh->match_shapes([&](const std::string& name) { return name == "pivots" ? &stored : nullptr; });
    return fresh->pivots.size(1);
  };
  CHECK(shape_of(at::zeros({2, 5, 8})) == 5);
  CHECK(fresh->pivot_logits.sizes() == at::IntArrayRef({2, 5}));
  CHECK(fresh->pivots.requires_grad());
  CHECK(shape_of(at::zeros({2, 7, 8})) == 5);  // beyond the bounds: left for the reader's error
  CHECK(shape_of(at::zeros({2, 3, 4})) == 5);
  LotformerOptions still = rank_options(4, 2, 6, 1e-6);
  still.adaptive_rank.every = 0;
  CHECK_FALSE(LotformerAttentionImpl(still, AttentionShape{.heads = 2, .head_dim = 8}).survey_due(10));
}

TEST_CASE("adaptive rank: a survey knows of the batches that it is shown, and of no other") {
  const AttentionInputs x = attention_inputs({2, 2, 30, 8}, at::kDouble, 4);
  auto module = make_module(rank_options(4, 2, 6, 10), 2, 8);
  const at::Tensor before = module->forward(x.q, x.k, x.v, {}).detach();
  module->begin_survey();
  CHECK(test::same_bits(module->forward(x.q, x.k, x.v, {}).detach(), before));
  const Survey found = module->end_survey(5);
  CHECK(found.numbers.empty());
  CHECK(found.resized.empty());
  CHECK(module->pivots.sizes() == at::IntArrayRef({2, 4, 8}));
}

TEST_CASE("adaptive rank: options that do not go together") {
  const auto key = [](const LotformerOptions& options) {
    const auto found = options.conflicts();
    return found.empty() ? std::string() : found.front().keys.front();
  };
  CHECK(key(rank_options(4, 2, 6, 0.1)).empty());
  CHECK(key(rank_options(8, 2, 6, 0.1)) == "adaptive_rank.max");
  CHECK(key(rank_options(2, 3, 6, 0.1)) == "adaptive_rank.max");
  LotformerOptions relaxed = rank_options(4, 2, 6, 0.1);
  relaxed.relaxation = "1";
  CHECK(key(relaxed) == "adaptive_rank.every");
  LotformerOptions truncated = rank_options(4, 2, 6, 0.1);
  truncated.mode = "truncated";
  CHECK(key(truncated) == "adaptive_rank.every");
}

}  // namespace lotformer
