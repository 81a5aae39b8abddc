// SPDX-License-Identifier: MIT
// What the Sinkformer computes: values and gradients of every mode.
#include "lotformer/attention/sinkformer.h"

#include <ATen/ATen.h>

#include "attention/sinkformer_support.h"
#include "lotformer/attention/softmax.h"
#include "lotformer/core/error.h"
#include "support/dense_map.h"
#include "support/finite_difference.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::check_close;
using test::converged;
using test::lengths_of;
using test::run;
using test::Run;
using test::truncated;

/// The published iteration, term by term, on whole matrices: marginals 1/n, potentials as increments, n P V.
/// Gradient by autograd.
at::Tensor dense(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double epsilon,
                 int64_t half_iterations) {
  const at::Tensor logits =
      at::matmul(q, k.transpose(2, 3)) / (std::sqrt(static_cast<double>(q.size(3))) * epsilon);
  const double n = static_cast<double>(q.size(2));
  at::Tensor rows = at::zeros_like(logits.select(3, 0).unsqueeze(3)),
             columns = at::zeros_like(logits.select(2, 0).unsqueeze(2));
  for (int64_t t = 0; t < half_iterations; ++t) {
    const int64_t axis = t % 2 == 0 ? 3 : 2;
    at::Tensor& potential = t % 2 == 0 ? rows : columns;
    potential = potential - std::log(n) - at::logsumexp(logits + rows + columns, {axis}, /*keepdim=*/true);
  }
  return n * at::matmul((logits + rows + columns).exp(), v);
}

Run dense_run(const AttentionInputs& x, const at::Tensor& upstream, double epsilon, int64_t half_iterations) {
  return run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return dense(q, k, v, epsilon, half_iterations);
  });
}

TEST_CASE("sinkformer: T half-iterations and their gradient equal the dense iteration, over many tiles") {
  // 600 x 600 entries a head: two tiles of rows, two of columns; several heads of a short sequence share a
  // tile.
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{{1, 2, 600, 3}, {2, 3, 13, 4}}) {
    const AttentionInputs x = attention_inputs(shape, at::kDouble, 31);
    const at::Tensor upstream = attention_inputs(shape, at::kDouble, 32).q;
    for (const int64_t half_iterations : {1, 2, 3, 4, 5, 8}) {
      INFO("shape " << at::IntArrayRef(shape) << ", T " << half_iterations);
      check_close(run(x, upstream, {}, truncated(half_iterations, 0.4)),
                  dense_run(x, upstream, 0.4, half_iterations), 1e-11);
    }
  }
}

TEST_CASE("sinkformer: finite differences, truncated and converged") {
  at::manual_seed(5);
  const at::Tensor lengths = lengths_of({9, 5, 1});
  const AttentionInputs x = attention_inputs({3, 2, 9, 4}, at::kDouble, 33);
  const at::Tensor weight = attention_inputs({3, 2, 9, 4}, at::kDouble, 34).q;
  const auto error = [&](const ops::SinkhornOptions& options) {
    return test::gradient_error(
        [&](const std::vector<at::Tensor>& leaves) {
          return (ops::sinkhorn_attention(leaves[0], leaves[1], leaves[2], lengths, options) * weight).sum();
        },
        {x.q, x.k, x.v}, 1e-3);
  };
  for (const int64_t half_iterations : {1, 2, 3, 5}) {
    INFO("T " << half_iterations);
    CHECK(error(truncated(half_iterations, 0.5)) < 1e-8);
  }
  CHECK(error(converged(1e-12, ops::SinkhornGradient::implicit)) < 1e-8);
  CHECK(error(converged(1e-12, ops::SinkhornGradient::unrolled)) < 1e-8);
}

TEST_CASE("sinkformer: one half-iteration is softmax attention") {
  const at::Tensor lengths = lengths_of({150, 60, 0});
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const AttentionInputs x = attention_inputs({3, 2, 150, 8}, type, 35);
    const at::Tensor upstream = attention_inputs({3, 2, 150, 8}, type, 36).q;
    SoftmaxAttentionImpl softmax({}, {.heads = 2, .head_dim = 8});
    SinkformerOptions options;
    options.half_iterations = 1;
    SinkformerAttentionImpl sinkformer(options, {.heads = 2, .head_dim = 8});
    const auto through = [&](AttentionImpl& module) {
      return run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
        return module.forward(q, k, v, lengths);
      });
    };
    check_close(through(sinkformer), through(softmax), type == at::kDouble ? 1e-13 : 2e-6);
  }
}

TEST_CASE("sinkformer: the converged map is doubly stochastic, its two gradients agree") {
  const at::Tensor lengths = lengths_of({37, 20, 1, 0});
  const AttentionInputs x = attention_inputs({4, 2, 37, 8}, at::kDouble, 37, 1.5);
  const at::Tensor upstream = attention_inputs({4, 2, 37, 8}, at::kDouble, 38).q;
  ops::SinkhornStats stats;
  const Run implicit = run(x, upstream, lengths, converged(1e-13, ops::SinkhornGradient::implicit), &stats);
  CHECK(stats.problems == 6);  // the empty sequence has none
  CHECK(stats.capped == 0);
  CHECK(stats.residual <= 1e-13);
  CHECK(stats.longest % 2 == 1);
  check_close(implicit, run(x, upstream, lengths, converged(1e-13, ops::SinkhornGradient::unrolled)), 1e-10);

  SinkformerOptions options;
  options.mode = "exact";
  options.eval_tolerance = 1e-12;
  options.max_half_iterations = 3000;
  SinkformerAttentionImpl module(options, {.heads = 2, .head_dim = 8});
  module.eval();
  const at::Tensor real =
      at::arange(37).unsqueeze(0).lt(lengths.unsqueeze(1)).unsqueeze(1).expand({4, 2, 37}).to(at::kDouble);
  const at::Tensor map = test::dense_map(module, x.q, x.k, lengths);
  CHECK_NEAR(map.sum(3), real, 1e-13);
  CHECK_NEAR(map.sum(2), real, 1e-10);
  CHECK(module.last_stats().problems == 6);
}

TEST_CASE("sinkformer: a capped problem is the truncated one, and says so") {
  const AttentionInputs x = attention_inputs({2, 2, 33, 8}, at::kDouble, 39, 2);
  const at::Tensor upstream = attention_inputs({2, 2, 33, 8}, at::kDouble, 40).q;
  ops::SinkhornStats stats;
  const Run capped = run(x, upstream, {}, converged(1e-12, ops::SinkhornGradient::unrolled, 10), &stats);
  CHECK(stats.capped == 4);
  CHECK(stats.longest == 9);  // pairs and a last row update within 10
  CHECK(stats.mean_half_iterations() == 9);
  CHECK(stats.residual > 1e-12);
  check_close(capped, run(x, upstream, {}, truncated(9)), 1e-13);
}

TEST_CASE("sinkformer: published text mode counts padded rows and passes no gradient through columns") {
  const at::Tensor lengths = lengths_of({6, 0});
  const AttentionInputs x = attention_inputs({2, 1, 9, 4}, at::kDouble, 43);
  const at::Tensor upstream = attention_inputs({2, 1, 9, 4}, at::kDouble, 44).q;
  for (const int64_t half_iterations : {1, 2, 3, 4}) {
    INFO("T " << half_iterations);
    SinkformerOptions options;
    options.mode = "reference_nlp";
    options.half_iterations = half_iterations;
    SinkformerAttentionImpl module(options, {.heads = 1, .head_dim = 4});
    const at::Tensor map = test::dense_map(module, x.q, x.k, lengths);
    if (half_iterations % 2 == 1) {
      CHECK_NEAR(map.sum(3), at::ones({2, 1, 9}, at::kDouble), 1e-13);  // padded rows too
    } else {
      CHECK_NEAR(map[0].sum(1).narrow(1, 0, 6), at::ones({1, 6}, at::kDouble), 1e-13);
    }
    CHECK_NEAR(map[0].narrow(2, 6, 3), at::zeros({1, 9, 3}, at::kDouble), 0);
    CHECK_NEAR(map[1], at::full({1, 9, 9}, 1.0 / 9, at::kDouble), 1e-15);  // every score the same
    // The dense iteration with padded scores at -1e9, column potentials cut from the graph.
    const Run expected = run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / 2;
      scores = scores.masked_fill(at::arange(9).ge(lengths.reshape({2, 1, 1, 1})), -1e9);
      at::Tensor f = at::zeros({2, 1, 9, 1}, at::kDouble), g = at::zeros({2, 1, 1, 9}, at::kDouble);
      for (int64_t t = 0; t < half_iterations; ++t) {
        if (t % 2 == 0) f = -std::log(9.0) - at::logsumexp(scores + g, {3}, true);
        if (t % 2 == 1) g = (-std::log(9.0) - at::logsumexp(scores + f, {2}, true)).detach();
        g = g.masked_fill(g > 9e8, 0);
      }
      return 9 * at::matmul((scores + f + g).exp(), v);
    });
    // Without a real token the published scores of 1e9 cost seven digits.
    const Run actual = run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return module.forward(q, k, v, lengths);
    });
    const auto first = [](const Run& r) { return Run{r.out[0], r.q[0], r.k[0], r.v[0]}; };
    check_close(first(actual), first(expected), 1e-12);
    check_close(actual, expected, 1e-6);
  }
}

TEST_CASE("sinkformer: scores of 500 epsilon stay finite and correct") {
  const at::Tensor lengths = lengths_of({48, 30});
  for (const bool exact : {false, true}) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
      const AttentionInputs x = attention_inputs({2, 2, 48, 16}, type, 45, std::sqrt(120.0));
      const at::Tensor scores = at::matmul(x.q, x.k.transpose(2, 3)) / 4;
      REQUIRE(scores.abs().max().item<double>() > 500);
      const at::Tensor upstream = attention_inputs({2, 2, 48, 16}, type, 46).q;
      const Run result = run(x, upstream, lengths,
                             exact ? converged(1e-4, ops::SinkhornGradient::implicit, 200) : truncated(3));
      for (const at::Tensor& t : {result.out, result.q, result.k, result.v})
        CHECK(t.isfinite().all().item<bool>());
      if (!exact && type == at::kDouble) {
        check_close(run(x, upstream, {}, truncated(3)), dense_run(x, upstream, 1, 3), 1e-10);
      }
    }
  }
}

TEST_CASE("sinkformer: float32 gradients stay close to float64") {
  const at::Tensor lengths = lengths_of({300, 170});
  const AttentionInputs x = attention_inputs({2, 2, 300, 16}, at::kFloat, 47, 1.5);
  const at::Tensor upstream = attention_inputs({2, 2, 300, 16}, at::kFloat, 48).q;
  const AttentionInputs wide{x.q.to(at::kDouble), x.k.to(at::kDouble), x.v.to(at::kDouble)};
  for (const ops::SinkhornOptions& options :
       {truncated(3), truncated(4), converged(1e-6, ops::SinkhornGradient::implicit, 400)}) {
    ops::SinkhornOptions precise = options;
    precise.tolerance = 1e-12;
    precise.max_half_iterations = 3000;
    check_close(run(x, upstream, lengths, options), run(wide, upstream.to(at::kDouble), lengths, precise),
                2e-4);
  }
}

TEST_CASE("sinkformer: options that contradict each other are refused") {
  SinkformerOptions options;
  options.gradient = "implicit";
  CHECK_THROWS_WITH(SinkformerAttentionImpl(options, {.heads = 1, .head_dim = 4}),
                    test::contains_text("model.attention.gradient: gradient implicit needs mode exact"));
  options.gradient = "unrolled";
  options.mode = "reference_nlp";
  CHECK_THROWS_AS(SinkformerAttentionImpl(options, {.heads = 1, .head_dim = 4}), Error);
}

}  // namespace
}  // namespace lotformer
