// SPDX-License-Identifier: MIT
#include "lotformer/attention/lotformer.h"

#include <ATen/ATen.h>

#include "lotformer/core/error.h"
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

/// A module whose scores are about as large as those of a trained one, with uneven masses where they are
/// learned.
std::shared_ptr<LotformerAttentionImpl> make_module(LotformerOptions options, AttentionShape shape,
                                                    at::ScalarType type = at::kDouble) {
  auto module = std::make_shared<LotformerAttentionImpl>(options, shape);
  module->to(type);
  at::Generator generator = at::detail::createCPUGenerator(11);
  module->pivots.set_data(at::randn(module->pivots.sizes(), generator, at::kDouble).to(type));
  if (module->pivot_logits.defined()) {
    module->pivot_logits.set_data(at::randn(module->pivot_logits.sizes(), generator, at::kDouble).to(type));
  }
  return module;
}

LotformerOptions mode_options(const std::string& mode, const std::string& masses = "uniform") {
  LotformerOptions options;
  options.mode = mode;
  options.masses = masses;
  options.pivots = 3;
  options.epsilon = 0.5;
  options.half_iterations = 7;
  options.tolerance = options.eval_tolerance = 1e-14;
  options.max_passes = 100;
  return options;
}

TEST_CASE("lotformer: gradients against finite differences in float64") {
  at::manual_seed(5);
  const at::Tensor lengths = lengths_of({9, 4, 1});
  const AttentionInputs x = attention_inputs({3, 2, 9, 4}, at::kDouble, 3);
  const at::Tensor weight = attention_inputs({3, 2, 9, 4}, at::kDouble, 4).q;
  for (const std::string mode : {"exact", "truncated", "reference"}) {
    for (const std::string masses : {"uniform", "learned"}) {
      for (const int64_t half_iterations : {1, 6, 7}) {
        if (mode == "reference" && masses == "learned") continue;
        if (mode == "exact" && half_iterations != 7) continue;
        INFO(mode << ", " << masses << " masses, T = " << half_iterations);
        LotformerOptions options = mode_options(mode, masses);
        options.half_iterations = half_iterations;
        auto module = make_module(options, {.heads = 2, .head_dim = 4});
        std::vector<at::Tensor> inputs = {x.q, x.k, x.v, module->pivots};
        if (module->pivot_logits.defined()) inputs.push_back(module->pivot_logits);
        const double error = test::gradient_error(
            [&](const std::vector<at::Tensor>& leaves) {
              module->pivots = leaves[3];
              if (leaves.size() > 4) module->pivot_logits = leaves[4];
              return (module->forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
            },
            inputs, 1e-3);
        CHECK(error < 1e-8);
      }
    }
  }
}

TEST_CASE("lotformer: exact is the limit of truncated, values and gradients") {
  const at::Tensor lengths = lengths_of({33, 20});
  const AttentionInputs x = attention_inputs({2, 2, 33, 8}, at::kDouble, 8);
  const auto run = [&](const std::string& mode) {
    LotformerOptions options = mode_options(mode, "learned");
    options.half_iterations = 800;
    auto module = make_module(options, {.heads = 2, .head_dim = 8});
    std::vector<at::Tensor> leaves = {x.q.clone().requires_grad_(), x.k.clone().requires_grad_(),
                                      x.v.clone().requires_grad_()};
    const at::Tensor out = module->forward(leaves[0], leaves[1], leaves[2], lengths);
    (out * x.v.roll(1, 2)).sum().backward();
    std::vector<at::Tensor> results = {out, module->pivots.grad(), module->pivot_logits.grad()};
    for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
    return results;
  };
  const auto exact = run("exact"), truncated = run("truncated");
  for (size_t i = 0; i < exact.size(); ++i) {
    INFO("tensor " << i);
    CHECK_RELATIVE(exact[i], truncated[i], 1e-9);
  }
}

TEST_CASE("lotformer: the exact map is doubly stochastic even where the solver was stopped early") {
  const at::Tensor lengths = lengths_of({40, 23, 1});
  for (const auto type : {at::kDouble, at::kFloat}) {
    for (const int64_t cap : {1, 2, 3, 50}) {
      LotformerOptions options = mode_options("exact", "learned");
      options.epsilon = 0.02;
      options.pivots = 6;
      options.max_passes = cap;
      options.eval_tolerance = 1e-6;
      auto module = make_module(options, {.heads = 2, .head_dim = 8}, type);
      module->eval();
      const AttentionInputs x = attention_inputs({3, 2, 40, 8}, type, 12);
      const at::Tensor map = test::dense_map(*module, x.q, x.k, lengths);
      INFO("cap " << cap << ", " << module->last_stats().capped << " capped, residual "
                  << module->last_stats().max_residual());
      if (cap < 4) CHECK(module->last_stats().capped > 0);
      const at::Tensor real =
          at::arange(40).unsqueeze(0).lt(lengths.unsqueeze(1)).to(type).unsqueeze(1).expand({3, 2, 40});
      const double tolerance = type == at::kDouble ? 1e-13 : 3e-6;
      CHECK_NEAR(map.sum(3), real, tolerance);
      CHECK_NEAR(map.sum(2), real, tolerance);
      CHECK(map.min().item<double>() >= -1e-12);
    }
  }
}

TEST_CASE("lotformer: plans have the stated marginals and reproduce the output") {
  const at::Tensor lengths = lengths_of({12, 5});
  const AttentionInputs x = attention_inputs({2, 2, 12, 4}, at::kDouble, 2);
  auto module = make_module(mode_options("exact", "learned"), {.heads = 2, .head_dim = 4});
  at::NoGradGuard no_grad;
  const ops::PivotPlans plans = module->plans(x.q, x.k, lengths);
  const at::Tensor sigma = at::softmax(module->pivot_logits, -1);
  const at::Tensor count = lengths.to(at::kDouble).reshape({2, 1, 1, 1});
  for (const at::Tensor& plan : {plans.query, plans.key}) {
    CHECK_NEAR(plan.sum(3), sigma.unsqueeze(0).expand({2, 2, 3}), 1e-13);
    CHECK_NEAR(plan.sum(2)[1][0].narrow(0, 0, 5), at::full({5}, 0.2, at::kDouble), 1e-13);
    CHECK_NEAR(plan.narrow(0, 1, 1).narrow(3, 5, 7), at::zeros({1, 2, 3, 7}, at::kDouble), 0);
  }
  const at::Tensor expected =
      count * at::matmul(plans.query.transpose(2, 3), at::matmul(plans.key, x.v) / sigma.unsqueeze(-1));
  CHECK_NEAR(module->forward(x.q, x.k, x.v, lengths), expected, 1e-12);
}

TEST_CASE("lotformer: statistics of the latest call") {
  LotformerOptions options = mode_options("exact");
  options.tolerance = 1e-4;
  options.eval_tolerance = 1e-10;
  auto module = make_module(options, {.heads = 2, .head_dim = 8});
  CHECK(module->last_stats().problems == 0);
  const AttentionInputs x = attention_inputs({3, 2, 50, 8}, at::kDouble, 1);
  module->forward(x.q, x.k, x.v, {});
  const ops::PivotSolveStats training = module->last_stats();
  CHECK(training.problems == 12);
  CHECK(training.mean_passes() >= 1);
  CHECK(training.mean_passes() <= static_cast<double>(training.longest));
  CHECK(training.capped == 0);
  CHECK(training.max_residual() <= 1e-4);
  CHECK(training.max_residual() > 1e-10);
  module->eval();
  module->forward(x.q, x.k, x.v, {});
  CHECK(module->last_stats().max_residual() <= 1e-10);
  CHECK(module->last_stats().longest > training.longest);
}

TEST_CASE("lotformer: pivot initialisation and parameters") {
  at::manual_seed(1);
  LotformerOptions options;
  options.pivots = 128;
  LotformerAttentionImpl published(options, {.heads = 4, .head_dim = 32});
  CHECK(published.pivots.sizes() == at::IntArrayRef({4, 128, 32}));
  CHECK(published.pivots.std().item<double>() == Catch::Approx(0.02).epsilon(0.03));
  CHECK(published.parameters().size() == 1);
  options.pivot_init = "unit_score";
  options.masses = "learned";
  LotformerAttentionImpl unit(options, {.heads = 4, .head_dim = 32});
  CHECK(unit.pivots.std().item<double>() == Catch::Approx(0.1 * std::sqrt(3.0)).epsilon(0.03));
  CHECK(unit.pivot_logits.eq(0).all().item<bool>());
  CHECK(unit.parameters().size() == 2);
  options.mode = "reference";
  CHECK_THROWS_AS(LotformerAttentionImpl(options, {.heads = 4, .head_dim = 32}), Error);
}

TEST_CASE("lotformer: vanishing pivot masses and one-hot plans stay finite, gradients too") {
  for (const auto type : {at::kDouble, at::kFloat}) {
    for (const std::string mode : {"exact", "truncated"}) {
      LotformerOptions options = mode_options(mode, "learned");
      options.epsilon = 0.01;
      options.tolerance = 1e-4;
      options.max_passes = 32;
      auto module = make_module(options, {.heads = 2, .head_dim = 8}, type);
      module->pivot_logits.set_data(
          at::tensor({0.0, -40.0, -2000.0, 5.0, 0.0, -300.0}, type).reshape({2, 3}));
      const AttentionInputs x = attention_inputs({2, 2, 30, 8}, type, 6, 10);
      const at::Tensor q = x.q.clone().requires_grad_(), k = x.k.clone().requires_grad_(),
                       v = x.v.clone().requires_grad_();
      const at::Tensor out = module->forward(q, k, v, lengths_of({30, 17}));
      out.square().sum().backward();
      INFO(mode << ", " << c10::toString(type));
      for (const at::Tensor& t :
           {out, q.grad(), k.grad(), v.grad(), module->pivots.grad(), module->pivot_logits.grad()}) {
        CHECK(t.isfinite().all().item<bool>());
      }
    }
  }
}

}  // namespace
}  // namespace lotformer
