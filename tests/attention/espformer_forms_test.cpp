// SPDX-License-Identifier: MIT
// Learned and given directions, sampled costs, the hard limit, sums: what the property suite does not see.
#include <ATen/Parallel.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "attention/espformer_support.h"
#include "lotformer/core/error.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::differentiate;
using test::lengths_of;
using test::make_espformer;
using test::Results;

/// The forms that the property suite, which takes the default options, does not see.
std::vector<std::pair<const char*, std::function<void(EspformerOptions&)>>> forms() {
  return {{"learned",
           [](EspformerOptions& o) {
             o.slices = "learned";
             o.slice_count = 11;
             o.inverse_temperature = 0.1;
           }},
          {"sampled",
           [](EspformerOptions& o) {
             o.weights = "sampled";
             o.weight_samples = 7;
             o.inverse_temperature = 0.1;
           }},
          {"hard", [](EspformerOptions& o) { o.hard = true; }},
          {"hard given",
           [](EspformerOptions& o) {
             o.hard = true;
             o.slices = "given";
             o.inverse_temperature = 0.1;
           }},
          {"mean of slices", [](EspformerOptions& o) { o.inverse_temperature = 0; }}};
}

}  // namespace

TEST_CASE("espformer: padding is invisible in every form, bit for bit") {
  const std::vector<int64_t> shape = {4, 2, 40, 6};
  const at::Tensor lengths = lengths_of({40, 17, 1, 0});
  const at::Tensor padded = at::arange(40).unsqueeze(0).ge(lengths.unsqueeze(1)).unsqueeze(1).unsqueeze(-1);
  for (const auto& [name, change] : forms()) {
    auto module = make_espformer(change, 2, 6);
    module.eval();
    const AttentionInputs x = attention_inputs(shape, at::kFloat, 41);
    const at::Tensor upstream = attention_inputs(shape, at::kFloat, 42).q;
    const auto run = [&](double value) {
      const auto pad = [&](const at::Tensor& t) { return t.masked_fill(padded, value); };
      const at::Tensor trained = module.parameters().empty() ? at::Tensor() : module.directions;
      return differentiate(
          {pad(x.q), pad(x.k), pad(x.v)}, pad(upstream), trained,
          [&](const AttentionInputs& in) { return module.forward(in.q, in.k, in.v, lengths); });
    };
    const Results clean = run(0);
    for (const double value : {1e30, std::numeric_limits<double>::infinity(), std::nan("")}) {
      INFO(name << ", padding " << value);
      const Results other = run(value);
      CHECK(test::same_bits(other.out, clean.out));
      CHECK(test::same_bits(other.q, clean.q));
      CHECK(test::same_bits(other.k, clean.k));
      CHECK(test::same_bits(other.v, clean.v));
      if (clean.directions.defined()) CHECK(test::same_bits(other.directions, clean.directions));
    }
    for (const at::Tensor& t : {clean.out, clean.q, clean.k, clean.v}) {
      CHECK(test::same_bits(t, t.masked_fill(padded, 0)));
    }
  }
}

TEST_CASE("espformer: finite differences in every form") {
  at::manual_seed(43);
  const at::Tensor lengths = lengths_of({31, 9});
  const AttentionInputs x = attention_inputs({2, 2, 31, 4}, at::kDouble, 44);
  const at::Tensor weight = attention_inputs({2, 2, 31, 4}, at::kDouble, 45).q;
  for (const auto& [name, change] : forms()) {
    INFO(name);
    auto module = make_espformer(change, 2, 4);
    module.to(at::kDouble);
    module.eval();
    const auto value = [&](const std::vector<at::Tensor>& leaves) {
      return (module.forward(leaves[0], leaves[1], leaves[2], lengths) * weight).sum();
    };
    CHECK(test::gradient_error(value, {x.q, x.k, x.v}, 1e-6) < 1e-6);
  }
}

TEST_CASE("espformer: tau towards 0 is transport by sorting") {
  const AttentionInputs x = attention_inputs({2, 2, 50, 3}, at::kDouble, 46);
  const at::Tensor lengths = lengths_of({50, 23});
  auto soft = make_espformer([](EspformerOptions& o) { o.tau = 1e-12, o.inverse_temperature = 0.02; }, 2, 3);
  auto hard = make_espformer([](EspformerOptions& o) { o.hard = true, o.inverse_temperature = 0.02; }, 2, 3);
  CHECK_NEAR(soft.forward(x.q, x.k, x.v, lengths), hard.forward(x.q, x.k, x.v, lengths), 1e-10);
  const auto sums = hard.sums(x.q, x.k, lengths);
  const at::Tensor real =
      at::arange(50).unsqueeze(0).lt(lengths.unsqueeze(1)).unsqueeze(1).expand({2, 2, 50}).to(at::kDouble);
  CHECK_NEAR(sums.rows, real, 1e-12);
  CHECK_NEAR(sums.columns, real, 1e-12);
}

TEST_CASE("espformer: the soft form is doubly stochastic only roughly, and says so") {
  const AttentionInputs x = attention_inputs({2, 2, 200, 4}, at::kDouble, 47);
  const at::Tensor lengths = lengths_of({200, 120});
  for (const double beta : {0.0, 0.1}) {
    auto module = make_espformer([beta](EspformerOptions& o) { o.inverse_temperature = beta; }, 2, 4);
    const auto sums = module.sums(x.q, x.k, lengths);
    const at::Tensor map = test::dense_map(module, x.q, x.k, lengths);
    CHECK_NEAR(sums.rows, map.sum(3), 1e-12);
    CHECK_NEAR(sums.columns, map.sum(2), 1e-12);
    // Rows of U and V sum to 1: the total mass is the number of tokens, whatever tau.
    CHECK_NEAR(sums.rows.sum(2), lengths.unsqueeze(1).expand({2, 2}).to(at::kDouble), 1e-9);
    CHECK((sums.rows[0] - 1).abs().max().item<double>() > 0.05);
    CHECK((sums.columns[0] - 1).abs().max().item<double>() > 0.05);
  }
}

TEST_CASE("espformer: sampled costs are unbiased and exact with all rows") {
  const AttentionInputs x = attention_inputs({1, 1, 24, 2}, at::kDouble, 48);
  ops::SlicedOptions options{.tau = 0.05, .inverse_temperature = 0.05, .cost_rows = 0, .seed = 0};
  const at::Tensor ramp = at::linspace(-1, 1, 24, at::kDouble).reshape({1, 1, 24, 1});
  const auto attend = [&](const ops::SlicedOptions& with, double beta) {
    ops::SlicedOptions copy = with;
    copy.inverse_temperature = beta;
    return ops::sliced_attention({x.q, x.k, ramp, x.q, x.k, {}}, copy);
  };
  const auto alone = [&](int64_t slice) {
    return ops::sliced_attention({x.q, x.k, ramp, x.q.narrow(3, slice, 1), x.k.narrow(3, slice, 1), {}},
                                 options);
  };
  // out = w_0 A_0 + (1 - w_0) A_1, so log(w_0 / w_1) / -beta is the difference of the costs.
  const at::Tensor first = alone(0), second = alone(1), difference = first - second;
  const auto cost_difference = [&](const ops::SlicedOptions& with) {
    const double w = ((attend(with, 0.05) - second) * difference).sum().item<double>() /
                     difference.square().sum().item<double>();
    return -std::log(w / (1 - w)) / 0.05;
  };
  const double exact = cost_difference(options);
  options.cost_rows = 24;
  CHECK(test::same_bits(attend(options, 0.05), attend({.tau = 0.05}, 0.05)));
  options.cost_rows = 6;
  double sum = 0, squares = 0;
  constexpr int64_t kDraws = 2000;
  for (options.seed = 0; options.seed < kDraws; ++options.seed) {
    const double draw = cost_difference(options);
    sum += draw;
    squares += draw * draw;
  }
  const double mean = sum / kDraws, error = std::sqrt((squares / kDraws - mean * mean) / kDraws);
  CHECK(std::abs(mean - exact) < 4 * error);
  CHECK(error > 1e-3);  // it is a sample
}

TEST_CASE("espformer: threads, slices and choices") {
  const AttentionInputs x = attention_inputs({3, 2, 90, 8}, at::kFloat, 49);
  auto module = make_espformer([](EspformerOptions& o) { o.slices = "learned", o.slice_count = 19; }, 2, 8);
  CHECK(module.directions.sizes() == at::IntArrayRef({2, 19, 8}));
  for (const auto& [begin, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 8}, {8, 8}, {16, 3}}) {
    const at::Tensor block = module.directions.detach().narrow(1, begin, count);
    CHECK_NEAR(block.matmul(block.transpose(1, 2)), at::eye(count).expand({2, count, count}), 1e-5);
  }
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = module.forward(x.q, x.k, x.v, {});
  at::set_num_threads(2);
  CHECK(test::same_bits(module.forward(x.q, x.k, x.v, {}), one));
  at::set_num_threads(threads);

  auto sampled = make_espformer(
      [](EspformerOptions& o) { o.weights = "sampled", o.weight_samples = 5, o.inverse_temperature = 0.1; },
      2, 8);
  sampled.train();
  at::manual_seed(1);
  const at::Tensor a = sampled.forward(x.q, x.k, x.v, {}), b = sampled.forward(x.q, x.k, x.v, {});
  at::manual_seed(1);
  CHECK(test::same_bits(sampled.forward(x.q, x.k, x.v, {}), a));
  CHECK_FALSE(test::same_bits(a, b));
  sampled.eval();
  CHECK(test::same_bits(sampled.forward(x.q, x.k, x.v, {}), sampled.forward(x.q, x.k, x.v, {})));

  CHECK_THROWS_AS(make_espformer([](EspformerOptions& o) { o.slice_count = 4; }, 1, 8), Error);
  // Given directions are what they are set to, and are not trained.
  auto axes = make_espformer([](EspformerOptions&) {}, 2, 8);
  auto given = make_espformer([](EspformerOptions& o) { o.slices = "given"; }, 2, 8);
  CHECK(given.parameters().empty());
  CHECK(given.buffers().size() == 1);
  given.directions.copy_(at::eye(8).expand({2, 8, 8}));
  CHECK_RELATIVE(given.forward(x.q, x.k, x.v, {}), axes.forward(x.q, x.k, x.v, {}), 1e-5);
  CHECK_THROWS_AS(make_espformer([](EspformerOptions& o) { o.hard = true, o.slices = "learned"; }, 1, 8),
                  Error);
}

TEST_CASE("espformer: a score that is not finite poisons its own problem only") {
  AttentionInputs x = attention_inputs({2, 2, 30, 4}, at::kFloat, 50);
  x.q[0][1][7][2] = std::nan("");
  x.k[1][0][3][0] = std::numeric_limits<float>::infinity();
  auto module = make_espformer([](EspformerOptions&) {}, 2, 4);
  const at::Tensor finite = module.forward(x.q, x.k, x.v, {}).isfinite().flatten(2);
  const at::Tensor expected = at::eye(2).to(at::kBool);
  CHECK(finite.all(2).eq(expected).all().item<bool>());
  CHECK(finite.any(2).eq(expected).all().item<bool>());
}

}  // namespace lotformer
