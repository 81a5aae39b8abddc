// SPDX-License-Identifier: MIT
// Masses of the tokens: the plans are couplings of two weighted measures, in the ATen path and in the CPU
// core.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "lotformer/attention/lotformer.h"
#include "lotformer/core/error.h"
#include "lotformer/ops/token_scores.h"
#include "ops/pivot/core_checks.h"
#include "support/attention_inputs.h"
// after torch
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

/// x with logits of the masses, `sharpness` their standard deviation: at 3 a few tokens of a hundred have
/// most of the mass.
PivotCase weighted(PivotCase x, bool queries, bool keys, double sharpness = 1.5) {
  at::Generator generator = at::detail::createCPUGenerator(77);
  const auto logits = [&] {
    return (at::randn({x.q.size(0), x.q.size(1), x.q.size(2)}, generator, at::kDouble) * sharpness)
        .to(x.q.scalar_type());
  };
  x.query_logits = queries ? logits() : at::Tensor();
  x.key_logits = keys ? logits() : at::Tensor();
  return x;
}

/// The plan of marginals a [.., N] and sigma [.., r], from scores [.., N, r] over epsilon, by alternating
/// scaling in logarithms and nothing else: what every solver has to agree with. Differentiable by autograd.
at::Tensor dense_plan(const at::Tensor& logits, const at::Tensor& a, const at::Tensor& sigma,
                      int64_t iterations) {
  at::Tensor g = at::zeros_like(sigma).unsqueeze(-2), f;
  for (int64_t i = 0; i < iterations; ++i) {
    f = a.log().unsqueeze(-1) - at::logsumexp(logits + g, -1, true);
    g = sigma.log().unsqueeze(-2) - at::logsumexp(logits + f, -2, true);
  }
  f = a.log().unsqueeze(-1) - at::logsumexp(logits + g, -1, true);
  return (logits + f + g).exp();
}

/// One example without padding, everything dense: map = diag(1/a) plan diag(1/sigma) plan'^T.
PivotRun dense_weighted(const PivotCase& x, int64_t iterations) {
  return [&x, iterations](const std::vector<at::Tensor>& l, ops::PivotSolveStats*) {
    const ops::TokenMasses masses = masses_of_leaves(x, l);
    const at::Tensor uniform =
        at::full({l[0].size(0), l[0].size(1), l[0].size(2)}, 1.0 / static_cast<double>(l[0].size(2)),
                 l[0].options().requires_grad(false));
    const at::Tensor a = masses.query.defined() ? masses.query : uniform,
                     b = masses.key.defined() ? masses.key : uniform;
    const at::Tensor sigma = at::softmax(l[4], -1).unsqueeze(0).expand({a.size(0), -1, -1});
    const double scale = 1 / (std::sqrt(static_cast<double>(l[0].size(3))) * x.epsilon);
    const auto plan = [&](const at::Tensor& tokens, const at::Tensor& mass) {
      return dense_plan(at::matmul(tokens, l[3].transpose(1, 2)) * scale, mass, sigma, iterations);
    };
    const at::Tensor summary = at::matmul(plan(l[1], b).transpose(2, 3), l[2]) / sigma.unsqueeze(-1);
    return at::matmul(plan(l[0], a) / a.unsqueeze(-1), summary);
  };
}

/// Weighted sides of the cases below.
const std::vector<std::pair<bool, bool>> kSides = {{false, true}, {true, false}, {true, true}};

}  // namespace

TEST_CASE("token masses: the map is that of a dense solve, gradients included") {
  const PivotCase plain = pivot_case(2, 2, 23, 6, 4, at::kDouble, 3);
  for (const auto& [queries, keys] : kSides) {
    const PivotCase x = weighted(plain, queries, keys);
    const PivotResult expected = run_pivot(x, dense_weighted(x, 400));
    INFO("queries " << queries << ", keys " << keys);
    check_close(run_pivot(x, aten_exact(x, {1e-14, 200})), expected, 1e-9);
    for (const ops::pivot::cpu::Core* core : cores()) {
      const CoreScope scope(core);
      INFO(core->name);
      check_close(run_pivot(x, core_exact(x, {1e-14, 200})), expected, 1e-9);
    }
  }
}

TEST_CASE("token masses: the CPU core against the ATen path, lengths, coarse start and float32 included") {
  struct Row {
    int64_t r, dim, tokens;
    double sharpness;
  };
  for (const Row& row : {Row{1, 5, 17, 1.5},
                         {4, 32, 65, 3},
                         {4, 32, 1100, 0.3},
                         {4, 32, 1100, 3},
                         {9, 16, 200, 2},
                         {32, 33, 1100, 1},
                         {33, 8, 64, 1}}) {
    for (const auto& [queries, keys] : kSides) {
      PivotCase wide =
          pivot_case(4, 2, row.tokens, row.dim, row.r, at::kFloat, 3 + static_cast<uint64_t>(row.r));
      wide.lengths = lengths_of({row.tokens, 1, 0, std::max<int64_t>(1, 2 * row.tokens / 3)});
      wide = weighted(wide, queries, keys, row.sharpness);
      const PivotCase exact = as_type(wide, at::kDouble);
      const PivotResult expected = run_pivot(exact, aten_exact(exact, {1e-12, 200}));
      for (const ops::pivot::cpu::Core* core : cores()) {
        const CoreScope scope(core);
        INFO(core->name << ", r " << row.r << ", d " << row.dim << ", n " << row.tokens << ", queries "
                        << queries << ", keys " << keys);
        const PivotResult own = run_pivot(exact, core_exact(exact, {1e-12, 200}));
        CHECK(own.stats.capped == 0);
        check_close(own, expected, 1e-9);
        check_close(run_pivot(wide, core_exact(wide, {1e-6, 200})), expected, 2e-4);
      }
    }
  }
}

TEST_CASE("token masses: gradients against finite differences, relaxed marginals included") {
  at::manual_seed(5);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [query_kappa, key_kappa] :
       {std::pair{0.0, 0.0}, {0.4, 0.0}, {0.0, 0.7}, {2.0, 0.3}, {0.5, infinity}}) {
    PivotCase x = pivot_case(3, 2, 11, 4, 3, at::kDouble, 7);
    x.lengths = lengths_of({11, 6, 1});
    x = weighted(x, true, true);
    const at::Tensor kappa =
        at::tensor({query_kappa, query_kappa, key_kappa, key_kappa}, at::kDouble).view({2, 2});
    for (const bool core : {false, true}) {
      INFO("kappa " << query_kappa << " and " << key_kappa << (core ? ", core" : ", aten"));
      const auto value = [&](const std::vector<at::Tensor>& l) {
        const ops::TokenMasses masses = masses_of_leaves(x, l);
        const at::Tensor sigma = at::softmax(l[4], -1);
        const ops::PivotSolverOptions options{1e-14, 200};
        ops::PivotMarginals marginals;
        marginals.query_kappa = kappa[0];
        marginals.key_kappa = kappa[1];
        marginals.tokens = masses;
        ops::PivotCall call = exact_call(l[0], l[1], l[2], l[3], sigma, x.lengths, x.epsilon, options,
                                         core ? ops::PivotCore::cpu : ops::PivotCore::aten);
        call.marginals = marginals;
        const at::Tensor out = ops::pivot_attention(call);
        return (out * x.upstream).sum();
      };
      CHECK(gradient_error(value, {x.q, x.k, x.v, x.pivots, x.mass_logits, x.query_logits, x.key_logits},
                           1e-3) < 1e-7);
    }
  }
}

TEST_CASE("token masses: equal masses are those of no masses") {
  PivotCase x = pivot_case(3, 2, 70, 8, 4, at::kDouble, 9);
  x.lengths = lengths_of({70, 33, 0});
  PivotCase equal = weighted(x, true, true, 0);
  for (const bool core : {false, true}) {
    INFO((core ? "core" : "aten"));
    PivotResult with =
        run_pivot(equal, core ? core_exact(equal, {1e-13, 100}) : aten_exact(equal, {1e-13, 100}));
    const PivotResult without =
        run_pivot(x, core ? core_exact(x, {1e-13, 100}) : aten_exact(x, {1e-13, 100}));
    with.tensors.resize(without.tensors.size());
    check_close(with, without, 1e-10);
  }
}

TEST_CASE("token masses: all mass on one key is a copy of its value, and nothing breaks") {
  for (const auto type : {at::kDouble, at::kFloat}) {
    for (const bool core : {false, true}) {
      PivotCase x = weighted(pivot_case(2, 2, 1100, 16, 4, type, 9), true, true, 0.5);
      x.key_logits.index_put_({at::indexing::Slice(), at::indexing::Slice(), 5},
                              200);  // exactly 1 in either type
      x.query_logits.index_put_({at::indexing::Slice(), at::indexing::Slice(), 700},
                                40);  // the rest is far below 1
      INFO(c10::toString(type) << (core ? ", core" : ", aten"));
      const PivotResult result = run_pivot(x, core ? core_exact(x, {1e-6, 60}) : aten_exact(x, {1e-6, 60}));
      CHECK_NEAR(result.tensors[0], x.v.narrow(2, 5, 1).expand_as(x.v), type == at::kDouble ? 1e-9 : 1e-4);
      for (const at::Tensor& t : result.tensors) CHECK(t.isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("token masses: NaN in padding changes no bit, nor does the number of threads") {
  PivotCase x = weighted(pivot_case(3, 2, 300, 8, 4, at::kFloat, 5), true, true);
  x.lengths = lengths_of({300, 140, 1});
  for (const bool core : {false, true}) {
    INFO((core ? "core" : "aten"));
    check_padding(x, [&](const PivotCase& c) {
      return run_pivot(c, core ? core_exact(c, {1e-5, 50}) : aten_exact(c, {1e-5, 50}));
    });
  }
  // The masses themselves are leaves here: the softmax that makes them is torch's, whose bits depend on its
  // threads.
  const ops::TokenMasses masses = masses_of_leaves(x, {{}, {}, {}, {}, {}, x.query_logits, x.key_logits});
  const auto run_on = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    PivotResult result;
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& t :
         {x.q, x.k, x.v, x.pivots, at::softmax(x.mass_logits, -1), masses.query, masses.key})
      leaves.push_back(t.detach().clone().requires_grad_());
    const at::Tensor out = ops::pivot_attention(
        with_token_masses(exact_call(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], x.lengths,
                                     x.epsilon, {1e-5, 50}, ops::PivotCore::cpu),
                          {leaves[5], leaves[6]}));
    out.backward(x.upstream);
    result.tensors.push_back(out.detach());
    for (const at::Tensor& leaf : leaves) result.tensors.push_back(leaf.grad());
    at::set_num_threads(before);
    return result;
  };
  check_same(run_on(2), run_on(1));
}

TEST_CASE("token scores: inner products of the real tokens with their head's vector, and their gradient") {
  at::manual_seed(4);
  const at::Tensor lengths = lengths_of({9, 4, 0});
  const at::Tensor packed = at::randn({3, 9, 2, 5}, at::kDouble);  // [B, N, H, D], as a layer hands it over
  const at::Tensor x = packed.transpose(1, 2), vector = at::randn({2, 5}, at::kDouble);
  const at::Tensor padding = at::arange(9).unsqueeze(0).ge(lengths.unsqueeze(1)).unsqueeze(1);
  const at::Tensor expected = (x * vector.view({1, 2, 1, 5})).sum(-1).mul(0.3).masked_fill(padding, 0);
  CHECK_NEAR(ops::token_scores(x, vector, 0.3, lengths), expected, 1e-14);
  CHECK_NEAR(ops::token_scores(x, vector, 0.3, {}), (x * vector.view({1, 2, 1, 5})).sum(-1) * 0.3, 1e-14);
  CHECK(gradient_error(
            [&](const std::vector<at::Tensor>& l) {
              return ops::token_scores(l[0], l[1], 0.3, lengths).pow(3).sum();
            },
            {x, vector}, 1e-3) < 1e-9);
  const at::Tensor dirty = x.masked_fill(padding.unsqueeze(-1), std::numeric_limits<double>::quiet_NaN());
  const at::Tensor leaf = dirty.clone().requires_grad_(), own = vector.clone().requires_grad_();
  const at::Tensor out = ops::token_scores(leaf, own, 0.3, lengths);
  CHECK_NEAR(out, expected, 1e-14);
  out.square().sum().backward();
  CHECK(own.grad().isfinite().all().item<bool>());
  CHECK(leaf.grad().masked_select(padding.unsqueeze(-1)).abs().max().item<double>() == 0);
  CHECK_THROWS_WITH(ops::token_scores(x, vector, 1, lengths_of({9, 10, 0})), contains_text("a length of 10"));
}

TEST_CASE("token masses: of another shape or type they are refused") {
  const PivotCase x = pivot_case(2, 2, 9, 4, 3, at::kDouble, 5);
  const at::Tensor sigma = at::softmax(x.mass_logits, -1);
  const auto call = [&](const at::Tensor& masses) {
    return ops::pivot_attention(with_token_masses(
        exact_call(x.q, x.k, x.v, x.pivots, sigma, {}, 0.5, {1e-5, 32}, ops::PivotCore::cpu), {{}, masses}));
  };
  CHECK_THROWS_WITH(call(at::full({2, 2, 8}, 0.125, at::kDouble)), contains_text("[B, H, N]"));
  CHECK_THROWS_WITH(call(at::full({2, 2, 9}, 1.0 / 9, at::kFloat)), contains_text("beside Double pivots"));
}

TEST_CASE(
    "lotformer-weighted: rows sum to 1, columns to n times the learned mass, plans couple the two measures") {
  const at::Tensor lengths = lengths_of({30, 17, 1});
  const AttentionInputs x = attention_inputs({3, 2, 30, 8}, at::kDouble, 12);
  const at::Tensor real =
      at::arange(30).unsqueeze(0).lt(lengths.unsqueeze(1)).to(at::kDouble).unsqueeze(1).expand({3, 2, 30});
  for (const char* sides : {"uniform/learned", "learned/uniform", "learned"}) {
    for (const std::string core : {"aten", "cpu"}) {
      for (const int64_t cap : {2, 100}) {
        LotformerOptions options;
        options.pivots = 3;
        options.epsilon = 0.5;
        options.eval_tolerance = 1e-13;
        options.max_passes = cap;
        options.token_masses = sides;
        options.core = core;
        LotformerAttentionImpl module(options, AttentionShape{.heads = 2, .head_dim = 8});
        module.to(at::kDouble);
        module.eval();
        at::Generator generator = at::detail::createCPUGenerator(11);
        for (at::Tensor& p : module.parameters()) p.set_data(at::randn(p.sizes(), generator, at::kDouble));
        const at::Tensor map = dense_map(module, x.q, x.k, lengths);
        const ops::PivotPlans plans = module.plans(x.q, x.k, lengths);
        INFO(sides << ", " << core << ", cap " << cap);
        const auto masses = [&](const at::Tensor& tokens, const at::Tensor& vector) {
          if (!vector.defined()) return real / lengths.to(at::kDouble).view({3, 1, 1});
          const at::Tensor logits =
              at::matmul(tokens, vector.unsqueeze(-1)).squeeze(-1) / (std::sqrt(8.0) * options.epsilon);
          return at::softmax(logits.masked_fill(real.eq(0), -std::numeric_limits<double>::infinity()), -1);
        };
        const at::NoGradGuard no_grad;
        const at::Tensor a = masses(x.q, module.query_mass_vector), b = masses(x.k, module.key_mass_vector);
        CHECK_NEAR(map.sum(3), real, 1e-13);
        CHECK_NEAR((map * a.unsqueeze(-1)).sum(2), b,
                   1e-12);  // whatever the residual: rounded to the marginals
        CHECK_NEAR(plans.query.sum(2), a, 1e-13);
        CHECK_NEAR(plans.key.sum(2), b, 1e-13);
        CHECK_NEAR(plans.key.sum(3), at::full({3, 2, 3}, 1.0 / 3, at::kDouble), 1e-12);
      }
    }
  }
}

TEST_CASE("lotformer-weighted: it starts as lotformer, and the masses have a gradient from there") {
  LotformerOptions options;
  options.pivots = 4;
  options.token_masses = "learned";
  const AttentionInputs x = attention_inputs({2, 2, 30, 8}, at::kFloat, 12);
  const auto run = [&](const char* masses) {
    options.token_masses = masses;
    at::manual_seed(3);
    auto module =
        std::make_shared<LotformerAttentionImpl>(options, AttentionShape{.heads = 2, .head_dim = 8});
    const at::Tensor out = module->forward(x.q, x.k, x.v, {});
    (out * x.v.roll(1, 2)).sum().backward();
    if (module->key_mass_vector.defined())
      CHECK(module->key_mass_vector.grad().abs().max().item<double>() > 1e-3);
    return out.detach();
  };
  CHECK_NEAR(run("uniform/learned"), run("uniform"), 1e-5);
}

TEST_CASE("lotformer-weighted: names in records and options that do not go together") {
  LotformerOptions options;
  const auto name = [&](const char* masses) {
    options.token_masses = masses;
    return options.record_name("lotformer");
  };
  CHECK(name("uniform") == "lotformer");
  CHECK(name("uniform/uniform") == "lotformer");
  CHECK(name("uniform/learned") == "lotformer-weighted");
  CHECK(name("learned/uniform") == "lotformer-weighted-queries");
  CHECK(name("learned") == "lotformer-weighted-both");
  options.relaxation = "0.5";
  CHECK(name("uniform/learned") == "lotformer-weighted-relaxed");
  const auto key = [](const LotformerOptions& o) {
    const auto found = o.conflicts();
    return found.empty() ? std::string() : found.front().keys.front();
  };
  const auto with = [](const char* masses) {
    LotformerOptions o;
    o.token_masses = masses;
    return o;
  };
  CHECK(key(with("learned")).empty());
  for (const char* text : {"", "yes", "learned/", "/learned", "learned/uniform/learned"}) {
    INFO(text);
    CHECK(key(with(text)) == "token_masses");
  }
  LotformerOptions truncated = with("uniform/learned");
  truncated.mode = "truncated";
  CHECK(key(truncated) == "token_masses");
  LotformerOptions by_pivot = with("uniform/learned");
  by_pivot.marginals = "query";
  CHECK(key(by_pivot) == "token_masses");
  by_pivot.free_keys = "pivots";
  CHECK(key(by_pivot).empty());
  LotformerOptions adaptive = with("uniform/learned");
  adaptive.adaptive_rank.every = 10;
  CHECK(key(adaptive) == "adaptive_rank.every");
}

}  // namespace lotformer::test
