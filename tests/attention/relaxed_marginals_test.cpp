// SPDX-License-Identifier: MIT
// Pivot marginals that are held by a penalty or not at all, and normalised scores.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "lotformer/attention/lotformer.h"
#include "lotformer/core/error.h"
#include "ops/pivot/aten/solver.h"
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

constexpr double kInfinity = std::numeric_limits<double>::infinity();

LotformerOptions marginal_options(const std::string& marginals, const std::string& relaxation = "inf",
                                  bool learned = false, const std::string& free_keys = "tokens") {
  LotformerOptions options;
  options.pivots = 3;
  options.epsilon = 0.5;
  options.tolerance = options.eval_tolerance = 1e-13;
  options.max_passes = 100;
  options.marginals = marginals;
  options.relaxation = relaxation;
  options.relaxation_learned = learned;
  options.free_keys = free_keys;
  options.masses = marginals == "none" ? "uniform" : "learned";
  return options;
}

/// With uneven masses and, where they are learned, a different relaxation for each head and side.
std::shared_ptr<LotformerAttentionImpl> make_module(const LotformerOptions& options, int64_t width,
                                                    at::ScalarType type = at::kDouble) {
  auto module =
      std::make_shared<LotformerAttentionImpl>(options, AttentionShape{.heads = 2, .head_dim = width});
  module->to(type);
  at::Generator generator = at::detail::createCPUGenerator(11);
  const auto randomise = [&](at::Tensor& x) {
    if (x.defined()) x.set_data(at::randn(x.sizes(), generator, at::kDouble).to(type));
  };
  randomise(module->pivots);
  randomise(module->pivot_logits);
  randomise(module->log_relaxation);
  return module;
}

ops::TokenMarginal plain_tokens(const at::Tensor& logits) {
  return {{}, at::full({logits.size(0), 1}, 1.0 / static_cast<double>(logits.size(2)), logits.options())};
}

/// Potentials by the damped update alone.
at::Tensor sinkhorn_potentials(const at::Tensor& logits, const at::Tensor& sigma, const at::Tensor& kappa,
                               int64_t iterations) {
  at::Tensor h = at::zeros_like(sigma);
  for (int64_t i = 0; i < iterations; ++i) {
    const at::Tensor c = at::softmax(logits + h.unsqueeze(-1), 1).mean(-1);
    h = h + (sigma.log() - c.log() - kappa * h) / (1 + kappa);
  }
  return h;
}

}  // namespace

TEST_CASE("relaxed marginals: the potentials solve their equation, each problem with its own kappa") {
  for (const auto type : {at::kDouble, at::kFloat}) {
    const std::vector<double> kappas = {0, 1e-7, 1e-3, 0.1, 1, 30, 1e6, kInfinity};
    const auto count = static_cast<int64_t>(kappas.size());
    at::Generator generator = at::detail::createCPUGenerator(3);
    const at::Tensor logits =
        (at::randn({1, 8, 300}, generator, at::kDouble) * 6).repeat({count, 1, 1}).to(type);
    const at::Tensor sigma =
        at::softmax(at::randn({1, 8}, generator, at::kDouble), -1).repeat({count, 1}).to(type);
    const at::Tensor kappa = at::tensor(kappas, at::kDouble).to(type);
    const double tolerance = type == at::kDouble ? 1e-12 : 1e-6;
    const ops::PivotSolution found =
        ops::solve_pivot_potentials(logits, plain_tokens(logits), sigma, {tolerance, 60}, kappa);
    CHECK(found.capped == 0);
    CHECK(found.longest <= 12);
    for (int64_t i = 0; i < count; ++i) {
      INFO("kappa " << kappas[i] << ", " << c10::toString(type) << ", passes "
                    << found.passes[i].item<int64_t>());
      const at::Tensor h = found.potentials[i].to(at::kDouble), s = sigma[i].to(at::kDouble);
      const at::Tensor c = at::softmax(logits[i].to(at::kDouble) + h.unsqueeze(-1), 0).mean(-1);
      CHECK_NEAR(found.marginal[i], c, type == at::kDouble ? 1e-13 : 1e-6);
      if (std::isinf(kappas[i])) {
        CHECK_NEAR(h, at::zeros_like(h), 0);
        CHECK(found.passes[i].item<int64_t>() == 1);
        continue;
      }
      const at::Tensor error = c.log() + kappa[i].to(at::kDouble) * h - s.log();
      CHECK_NEAR(error, at::zeros_like(error), type == at::kDouble ? 1e-10 : 2e-4);
      const ops::PivotSolution alone =
          ops::solve_pivot_potentials(logits.narrow(0, i, 1), plain_tokens(logits.narrow(0, i, 1)),
                                      sigma.narrow(0, i, 1), {tolerance, 60}, kappa.narrow(0, i, 1));
      CHECK_NEAR(found.marginal[i], alone.marginal[0], type == at::kDouble ? 1e-11 : 2e-6);
      CHECK(found.passes[i].item<int64_t>() == alone.longest);
    }
  }
}

TEST_CASE("relaxed marginals: hard scores converge where the damped update alone is far away") {
  at::Generator generator = at::detail::createCPUGenerator(5);
  const at::Tensor logits = at::randn({6, 24, 200}, generator, at::kDouble) * 30;
  const at::Tensor sigma = at::softmax(2 * at::randn({6, 24}, generator, at::kDouble), -1);
  for (const double kappa : {1e-6, 1e-3, 0.05, 1.0}) {
    for (const auto type : {at::kDouble, at::kFloat}) {
      const at::Tensor kappas = at::full({6}, kappa, at::TensorOptions(type));
      const at::Tensor a = logits.to(type), s = sigma.to(type);
      const ops::PivotSolution found =
          ops::solve_pivot_potentials(a, plain_tokens(a), s, {1e-5, 120}, kappas);
      INFO("kappa " << kappa << ", " << c10::toString(type) << ", passes " << found.longest << ", residual "
                    << found.residual.max().item<double>());
      CHECK(found.capped == 0);
      CHECK(found.residual.max().item<double>() < 2e-4);
    }
  }
}

TEST_CASE("relaxed marginals: the potentials maximise the dual as the literature writes it") {
  at::Generator generator = at::detail::createCPUGenerator(7);
  const at::Tensor logits = at::randn({4, 5, 60}, generator, at::kDouble) * 4;
  const at::Tensor sigma = at::softmax(at::randn({4, 5}, generator, at::kDouble), -1);
  const double kappa = 0.3;
  const auto dual = [&](const at::Tensor& h) {
    return -(sigma * (-kappa * h).exp()).sum(-1) / kappa -
           at::logsumexp(logits + h.unsqueeze(-1), 1).mean(-1);
  };
  const ops::PivotSolution found = ops::solve_pivot_potentials(
      logits, plain_tokens(logits), sigma, {1e-13, 100}, at::full({4}, kappa, at::kDouble));
  const at::Tensor best = dual(found.potentials);
  for (int64_t trial = 0; trial < 20; ++trial) {
    const at::Tensor elsewhere = found.potentials + 0.1 * at::randn({4, 5}, generator, at::kDouble);
    CHECK((best - dual(elsewhere)).min().item<double>() > 0);
  }
  CHECK_NEAR(found.potentials, sinkhorn_potentials(logits, sigma, at::full({}, kappa, at::kDouble), 2000),
             1e-10);
}

TEST_CASE("relaxed marginals: gradients against finite differences, penalties included") {
  at::manual_seed(5);
  const at::Tensor lengths = lengths_of({9, 4, 1});
  const AttentionInputs x = attention_inputs({3, 2, 9, 4}, at::kDouble, 3);
  const at::Tensor weight = attention_inputs({3, 2, 9, 4}, at::kDouble, 4).q;
  const std::vector<LotformerOptions> variants = {marginal_options("query"),
                                                  marginal_options("key"),
                                                  marginal_options("none"),
                                                  marginal_options("query", "inf", false, "pivots"),
                                                  marginal_options("none", "inf", false, "pivots"),
                                                  marginal_options("both", "0.4"),
                                                  marginal_options("both", "0.4/inf"),
                                                  marginal_options("both", "inf/0.4"),
                                                  marginal_options("both", "1", true),
                                                  marginal_options("query", "1", true),
                                                  marginal_options("query", "1", true, "pivots"),
                                                  marginal_options("key", "1", true)};
  for (const LotformerOptions& options : variants) {
    INFO(options.record_name("lotformer") << ", relaxation " << options.relaxation << ", free keys "
                                          << options.free_keys << ", learned " << options.relaxation_learned);
    auto module = make_module(options, 4);
    std::vector<at::Tensor> inputs = {x.q, x.k, x.v, module->pivots};
    const bool masses = module->pivot_logits.defined(), learned = module->log_relaxation.defined();
    if (masses) inputs.push_back(module->pivot_logits);
    if (learned) inputs.push_back(module->log_relaxation);
    const double error = test::gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          module->pivots = leaves[3];
          if (masses) module->pivot_logits = leaves[4];
          if (learned) module->log_relaxation = leaves.back();
          return (module->forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
        },
        inputs, 1e-3, 2);
    CHECK(error < 1e-8);
    if (learned) {  // the penalties matter, so their gradient is not checked against nothing
      auto fresh = make_module(options, 4);
      (fresh->forward(x.q, x.k, x.v, lengths) * weight).sum().backward();
      CHECK(fresh->log_relaxation.grad().abs().min().item<double>() > 1e-6);
    }
  }
}

TEST_CASE("relaxed marginals: the ends of the penalty are both and none, values and gradients") {
  const at::Tensor lengths = lengths_of({33, 20});
  const AttentionInputs x = attention_inputs({2, 2, 33, 8}, at::kDouble, 8);
  const auto run = [&](LotformerOptions options) {
    options.masses = "uniform";
    auto module = make_module(options, 8);
    std::vector<at::Tensor> leaves = {x.q.clone().requires_grad_(), x.k.clone().requires_grad_(),
                                      x.v.clone().requires_grad_()};
    const at::Tensor out = module->forward(leaves[0], leaves[1], leaves[2], lengths);
    (out * x.v.roll(1, 2)).sum().backward();
    std::vector<at::Tensor> results = {out, module->pivots.grad()};
    for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
    return results;
  };
  struct Pair {
    LotformerOptions near, end;
  };
  const std::vector<Pair> pairs = {
      {marginal_options("both", "1e9"), marginal_options("both")},
      {marginal_options("both", "1e-9"), marginal_options("none", "inf", false, "pivots")},
      {marginal_options("both", "1e9/1e-9"), marginal_options("query", "inf", false, "pivots")},
      {marginal_options("both", "1e-9/inf"), marginal_options("key")}};
  for (const Pair& pair : pairs) {
    INFO(pair.near.relaxation << " against " << pair.end.marginals);
    const auto near = run(pair.near), end = run(pair.end);
    for (size_t i = 0; i < near.size(); ++i) CHECK_RELATIVE(near[i], end[i], 1e-7);
  }
  // And in between it is neither.
  CHECK_FALSE(test::relative_difference(run(marginal_options("both", "0.5"))[0],
                                        run(marginal_options("both"))[0], 1e-2) == "");
}

TEST_CASE("relaxed marginals: none is a softmax over pivots after one over tokens") {
  const at::Tensor lengths = lengths_of({12, 5});
  const AttentionInputs x = attention_inputs({2, 2, 12, 4}, at::kDouble, 2);
  at::NoGradGuard no_grad;
  const auto scores = [&](const LotformerAttentionImpl& m, const at::Tensor& tokens) {
    return at::matmul(tokens, m.pivots.transpose(1, 2)) /
           (2 * 0.5);  // [B, H, N, r], sqrt(D) = 2, epsilon = 0.5
  };
  const at::Tensor padding = at::arange(12).unsqueeze(0).ge(lengths.unsqueeze(1)).view({2, 1, 12, 1});
  auto none = make_module(marginal_options("none"), 4);
  const at::Tensor over_tokens = at::softmax(scores(*none, x.k).masked_fill(padding, -kInfinity), 2);
  const at::Tensor over_pivots = at::softmax(scores(*none, x.q), 3);
  const at::Tensor expected = at::matmul(over_pivots, at::matmul(over_tokens.transpose(2, 3), x.v));
  CHECK_NEAR(none->forward(x.q, x.k, x.v, lengths), expected.masked_fill(padding, 0), 1e-13);

  auto pivots = make_module(marginal_options("none", "inf", false, "pivots"), 4);
  at::Tensor shares = at::softmax(scores(*pivots, x.k), 3).masked_fill(padding, 0);
  shares = shares / shares.sum(2, true);
  const at::Tensor clustered = at::matmul(over_pivots, at::matmul(shares.transpose(2, 3), x.v));
  CHECK_NEAR(pivots->forward(x.q, x.k, x.v, lengths), clustered.masked_fill(padding, 0), 1e-13);
}

TEST_CASE("relaxed marginals: rows sum to 1, columns only where both sides are held, plans give the map") {
  const at::Tensor lengths = lengths_of({30, 17, 1});
  const AttentionInputs x = attention_inputs({3, 2, 30, 8}, at::kDouble, 12);
  const at::Tensor real =
      at::arange(30).unsqueeze(0).lt(lengths.unsqueeze(1)).to(at::kDouble).unsqueeze(1).expand({3, 2, 30});
  for (const LotformerOptions& options :
       {marginal_options("both"), marginal_options("query"), marginal_options("key"),
        marginal_options("none"), marginal_options("both", "0.3"), marginal_options("key", "0.3"),
        marginal_options("none", "inf", false, "pivots")}) {
    for (const int64_t cap : {2, 100}) {
      LotformerOptions capped = options;
      capped.max_passes = cap;
      INFO(options.record_name("lotformer") << ", cap " << cap);
      auto module = make_module(capped, 8);
      module->eval();
      const at::Tensor map = test::dense_map(*module, x.q, x.k, lengths);
      CHECK_NEAR(map.sum(3), real, 1e-13);
      const bool balanced = test::difference(map.sum(2), real, 1e-6) == "";
      CHECK(balanced == (options.record_name("lotformer") == "lotformer"));
      const ops::PivotPlans plans = module->plans(x.q, x.k, lengths);
      const at::Tensor glued = at::matmul(plans.query.transpose(2, 3), plans.key / plans.key.sum(3, true)) *
                               lengths.to(at::kDouble).view({3, 1, 1, 1});
      CHECK_NEAR(map, glued, 1e-13);
      CHECK(plans.key.sum(3).sum(2).sub(1).abs().max().item<double>() < 1e-13);
    }
  }
}

TEST_CASE("relaxed marginals: padding changes nothing, bit for bit, normalised scores included") {
  const at::Tensor lengths = lengths_of({12, 5});
  const at::Tensor padded = at::arange(12).unsqueeze(0).ge(lengths.unsqueeze(1)).view({2, 1, 12, 1});
  const AttentionInputs x = attention_inputs({2, 2, 12, 4}, at::kFloat, 2);
  for (LotformerOptions options : {marginal_options("none"), marginal_options("query", "0.5"),
                                   marginal_options("both", "0.5"), marginal_options("both")}) {
    options.qk_norm = "l2";
    options.eval_tolerance = options.tolerance = 1e-5;
    auto module = make_module(options, 4, at::kFloat);
    std::vector<std::vector<at::Tensor>> results;
    for (const double filling : {0.0, std::numeric_limits<double>::quiet_NaN(), 1e30}) {
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& t : {x.q, x.k, x.v})
        leaves.push_back(t.masked_fill(padded, filling).requires_grad_());
      module->zero_grad();
      const at::Tensor out = module->forward(leaves[0], leaves[1], leaves[2], lengths);
      out.square().sum().backward();
      results.push_back({out.detach(), module->pivots.grad().clone()});
      for (const at::Tensor& leaf : leaves) results.back().push_back(leaf.grad());
    }
    INFO(options.record_name("lotformer"));
    for (size_t i = 0; i < results[0].size(); ++i) {
      CHECK(results[0][i].isfinite().all().item<bool>());
      CHECK(test::same_bits(results[1][i], results[0][i]));
      CHECK(test::same_bits(results[2][i], results[0][i]));
    }
  }
}

TEST_CASE("qk_norm: scores are cosines, with their gradient; the solver's passes stay bounded") {
  at::manual_seed(6);
  const at::Tensor lengths = lengths_of({9, 4});
  const AttentionInputs x = attention_inputs({2, 2, 9, 4}, at::kDouble, 3);
  for (const std::string mode : {"exact", "truncated"}) {
    LotformerOptions options = marginal_options("both");
    options.mode = mode;
    options.half_iterations = 8;
    options.qk_norm = "l2";
    auto module = make_module(options, 4);
    // Whatever the lengths of the vectors, the map is that of their directions.
    at::NoGradGuard no_grad;
    const at::Tensor scale = at::linspace(0.1, 30, 9, at::kDouble).unsqueeze(-1);
    CHECK_NEAR(module->forward(x.q * scale, x.k * 7, x.v, lengths), module->forward(x.q, x.k, x.v, lengths),
               1e-10);
    at::AutoGradMode grad(true);
    const double error = test::gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          module->pivots = leaves[2];
          return (module->forward(leaves[0], leaves[1], x.v, lengths) * x.v.roll(1, 2)).sum();
        },
        {x.q, x.k, module->pivots}, 1e-3);
    CHECK(error < 1e-8);
  }
  const AttentionInputs sharp = attention_inputs({4, 2, 200, 16}, at::kFloat, 3, 10);
  const auto passes = [&](const std::string& norm) {
    LotformerOptions options = marginal_options("both");
    options.pivots = 16;
    options.epsilon = 0.1;
    options.tolerance = 1e-4;
    options.qk_norm = norm;
    auto module = make_module(options, 16, at::kFloat);
    module->forward(sharp.q, sharp.k, sharp.v, {});
    return module->last_stats().longest;
  };
  INFO("passes " << passes("none") << " and " << passes("l2"));
  CHECK(passes("l2") <= 7);
  CHECK(passes("none") > passes("l2"));
}

TEST_CASE("relaxed marginals: names in records and options that do not go together") {
  CHECK(marginal_options("both").record_name("lotformer") == "lotformer");
  CHECK(marginal_options("both", "0.5").record_name("lotformer") == "lotformer-relaxed");
  CHECK(marginal_options("both", "inf/0.5").record_name("lotformer") == "lotformer-relaxed");
  CHECK(marginal_options("query").record_name("lotformer") == "lotformer-query");
  CHECK(marginal_options("query", "inf/0.5").record_name("lotformer") == "lotformer-query");
  CHECK(marginal_options("key", "0.5").record_name("lotformer") == "lotformer-key-relaxed");
  CHECK(marginal_options("none").record_name("lotformer") == "lotformer-none");
  const auto key = [](LotformerOptions options) {
    const auto found = options.conflicts();
    return found.empty() ? std::string() : found.front().keys.front();
  };
  CHECK(key(marginal_options("both", "0.5")).empty());
  CHECK(key(marginal_options("query", "0.5", true)).empty());
  for (const char* text : {"0", "-1", "nan", "1/", "/1", "1/2/3", "1 2", "", "1e999"}) {
    INFO(text);
    CHECK(key(marginal_options("both", text)) == "relaxation");
  }
  CHECK(key(marginal_options("none", "0.5")) == "relaxation");
  CHECK(key(marginal_options("both", "inf", true)) == "relaxation_learned");
  CHECK(key(marginal_options("both", "1/inf", true)) == "relaxation_learned");
  CHECK(key(marginal_options("key", "inf", false, "pivots")) == "free_keys");
  for (const std::string mode : {"truncated", "reference"}) {
    LotformerOptions options = marginal_options("query");
    options.masses = "uniform";
    options.mode = mode;
    CHECK(key(options) == "marginals");
    CHECK_THROWS_AS(LotformerAttentionImpl(options, AttentionShape{.heads = 2, .head_dim = 4}), Error);
    options = marginal_options("both", "0.5");
    options.masses = "uniform";
    options.mode = mode;
    CHECK(key(options) == "relaxation");
  }
  LotformerOptions none = marginal_options("none");
  none.masses = "learned";
  CHECK(key(none) == "masses");
}

}  // namespace lotformer
