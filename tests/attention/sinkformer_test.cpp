// SPDX-License-Identifier: MIT
#include "lotformer/attention/sinkformer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>

#include "lotformer/attention/softmax.h"
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

/// What a test compares: output and gradients of sum(out * upstream).
struct Run {
  at::Tensor out, q, k, v;
};

template <class Forward>
Run run(const AttentionInputs& x, const at::Tensor& upstream, Forward forward) {
  const at::Tensor q = x.q.detach().clone().requires_grad_(), k = x.k.detach().clone().requires_grad_(),
                   v = x.v.detach().clone().requires_grad_();
  const at::Tensor out = forward(q, k, v);
  out.backward(upstream);
  return {out.detach(), q.grad(), k.grad(), v.grad()};
}

Run run(const AttentionInputs& x, const at::Tensor& upstream, const at::Tensor& lengths,
        const ops::SinkhornOptions& options, ops::SinkhornStats* stats = nullptr) {
  return run(x, upstream, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return ops::sinkhorn_attention(q, k, v, lengths, options, stats);
  });
}

void check_close(const Run& actual, const Run& expected, double tolerance) {
  CHECK_RELATIVE(actual.out, expected.out, tolerance);
  CHECK_RELATIVE(actual.q, expected.q, tolerance);
  CHECK_RELATIVE(actual.k, expected.k, tolerance);
  CHECK_RELATIVE(actual.v, expected.v, tolerance);
}

/// The published iteration, term by term, on whole matrices: marginals 1/n, potentials as increments, n P V. Gradient by autograd.
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

ops::SinkhornOptions truncated(int64_t half_iterations, double epsilon = 1) {
  ops::SinkhornOptions options;
  options.half_iterations = half_iterations;
  options.epsilon = epsilon;
  return options;
}

ops::SinkhornOptions converged(double tolerance, ops::SinkhornGradient gradient, int64_t most = 3000) {
  ops::SinkhornOptions options;
  options.until_converged = true;
  options.tolerance = tolerance;
  options.max_half_iterations = most;
  options.gradient = gradient;
  return options;
}

TEST_CASE("sinkformer: T half-iterations and their gradient equal the dense iteration, over many tiles") {
  // 900 x 900 entries: four tiles of rows, four of columns; several heads of a short sequence share a tile.
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{{1, 1, 900, 3}, {2, 3, 13, 4}}) {
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

TEST_CASE("sinkformer: one masked batch equals sequence by sequence") {
  const at::Tensor lengths = lengths_of({21, 8, 0, 1});
  const AttentionInputs x = attention_inputs({4, 2, 21, 4}, at::kDouble, 41, 1.5);
  const at::Tensor upstream = attention_inputs({4, 2, 21, 4}, at::kDouble, 42).q;
  std::vector<ops::SinkhornOptions> cases = {truncated(1), truncated(4), truncated(5),
                                             converged(1e-10, ops::SinkhornGradient::implicit)};
  for (const int64_t half_iterations : {1, 4, 5}) {
    cases.push_back(truncated(half_iterations));
    cases.back().gradient = ops::SinkhornGradient::detached;
    cases.back().padded_queries = true;
  }
  for (ops::SinkhornOptions options : cases) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations << ", padded queries "
                      << options.padded_queries);
    options.batching = ops::SinkhornBatching::by_sequence;
    const Run apart = run(x, upstream, lengths, options);
    options.batching = ops::SinkhornBatching::whole_batch;
    check_close(run(x, upstream, lengths, options), apart, 1e-11);
  }
}

/// Every mode that hides padding, as the op's options, by sequence and as one masked batch.
std::vector<ops::SinkhornOptions> padding_modes() {
  std::vector<ops::SinkhornOptions> modes;
  for (const ops::SinkhornBatching batching :
       {ops::SinkhornBatching::by_sequence, ops::SinkhornBatching::whole_batch}) {
    for (const ops::SinkhornOptions& mode :
         {truncated(2), truncated(3), converged(1e-6, ops::SinkhornGradient::implicit, 60)}) {
      modes.push_back(mode);
      modes.back().batching = batching;
    }
  }
  return modes;
}

TEST_CASE("sinkformer: padding is invisible in every mode, bit for bit") {
  const at::Tensor lengths = lengths_of({13, 5, 0, 1});
  const at::Tensor padded =
      at::arange(13).unsqueeze(0).ge(lengths.unsqueeze(1)).unsqueeze(1).unsqueeze(-1);  // [B, 1, N, 1]
  for (const ops::SinkhornOptions& options : padding_modes()) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations << ", batching "
                      << static_cast<int>(options.batching));
    const AttentionInputs x = attention_inputs({4, 2, 13, 8}, at::kFloat, 51);
    const at::Tensor upstream = attention_inputs({4, 2, 13, 8}, at::kFloat, 52).q;
    const Run clean = run(x, upstream, lengths, options);
    for (const at::Tensor& t : {clean.out, clean.q, clean.k, clean.v}) {
      CHECK(test::same_bits(t, t.masked_fill(padded, 0)));
    }
    for (const double value : {-1e30, HUGE_VAL, std::nan("")}) {
      const auto dirty = [&](const at::Tensor& t) { return t.masked_fill(padded, value); };
      const Run other = run({dirty(x.q), dirty(x.k), dirty(x.v)}, dirty(upstream), lengths, options);
      CHECK(test::same_bits(other.out, clean.out));
      CHECK(test::same_bits(other.q, clean.q));
      CHECK(test::same_bits(other.k, clean.k));
      CHECK(test::same_bits(other.v, clean.v));
    }
  }
}

TEST_CASE("sinkformer: every problem stops by itself, whatever stands beside it") {
  const at::Tensor upstream = attention_inputs({4, 1, 17, 8}, at::kDouble, 54).q;
  AttentionInputs x = attention_inputs({4, 1, 17, 8}, at::kDouble, 53);
  x.q[0] *= 0.1;                   // almost uniform: a few half-iterations
  x.q[1] *= 4;                     // sharp: many
  x.q[2][0][3][0] = std::nan("");  // never
  for (const ops::SinkhornGradient gradient :
       {ops::SinkhornGradient::implicit, ops::SinkhornGradient::unrolled}) {
    ops::SinkhornOptions options = converged(1e-3, gradient);
    options.batching = ops::SinkhornBatching::whole_batch;
    ops::SinkhornStats together;
    const Run all = run(x, upstream, {}, options, &together);
    std::vector<int64_t> counts;
    for (const int64_t b : {0, 1, 3}) {
      const auto part = [&](const at::Tensor& t) { return t.narrow(0, b, 1); };
      ops::SinkhornStats alone;
      const Run single = run({part(x.q), part(x.k), part(x.v)}, part(upstream), {}, options, &alone);
      check_close({part(all.out), part(all.q), part(all.k), part(all.v)}, single, 1e-12);
      CHECK(alone.residual <= 1e-3);
      counts.push_back(alone.longest);
    }
    CHECK(counts[0] < counts[1]);
    CHECK(together.longest == counts[1]);
    CHECK(together.half_iterations == counts[0] + counts[1] + counts[2] + 3);
    CHECK(together.capped == 1);  // the one with the NaN, which stops at once
    CHECK(std::isnan(together.residual));
    CHECK(all.out[2].isnan().any().item<bool>());
  }
}

/// Bytes of CPU tensors above those alive at construction, at their highest.
class PeakMemory final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t peak() const { return peak_; }

 private:
  int64_t now_ = 0, peak_ = 0;
};

/// Torch's CPU threads, while alive.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

int64_t peak_of(int64_t tokens, const ops::SinkhornOptions& options) {
  const AttentionInputs x = attention_inputs({1, 1, tokens, 8}, at::kFloat, 55);
  const at::Tensor upstream = attention_inputs({1, 1, tokens, 8}, at::kFloat, 56).q;
  const auto memory = std::make_shared<PeakMemory>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, memory);
  run(x, upstream, {}, options);
  return memory->peak();
}

TEST_CASE("sinkformer: memory of forward and backward grows linearly with the tokens") {
  const Threads one(1);                   // the observer belongs to this thread
  constexpr int64_t kTokenBytes = 8 * 4;  // of one tensor [N, D] in float32
  for (const ops::SinkhornOptions& options :
       {truncated(3), truncated(4), truncated(25), converged(1e-3, ops::SinkhornGradient::implicit)}) {
    INFO("converged " << options.until_converged << ", T " << options.half_iterations);
    const int64_t small = peak_of(1024, options), large = peak_of(3072, options);
    CHECK(small > int64_t{1} << 20);  // the observer sees a tile
    CHECK(small < int64_t{6} << 20);
    // 2048 further tokens: about twenty tensors [N, D], potentials [T, N]; one matrix would be 32 MiB more.
    CHECK(large - small < 2048 * (40 * kTokenBytes + 4 * (options.half_iterations + 20)));
  }
}

TEST_CASE("sinkformer: the number of threads changes no bit") {
  const AttentionInputs x = attention_inputs({3, 2, 40, 8}, at::kFloat, 57);
  const at::Tensor upstream = attention_inputs({3, 2, 40, 8}, at::kFloat, 58).q;
  for (const ops::SinkhornOptions& options :
       {truncated(3), truncated(4), converged(1e-5, ops::SinkhornGradient::implicit)}) {
    const auto with = [&](int threads) {
      const Threads limit(threads);
      return run(x, upstream, lengths_of({40, 31, 7}), options);
    };
    const Run one = with(1), three = with(3);
    CHECK(test::same_bits(one.out, three.out));
    CHECK(test::same_bits(one.q, three.q));
    CHECK(test::same_bits(one.k, three.k));
    CHECK(test::same_bits(one.v, three.v));
  }
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
                    test::contains_text("model.attention.gradient: implicit needs mode exact"));
  options.gradient = "unrolled";
  options.mode = "reference_nlp";
  CHECK_THROWS_AS(SinkformerAttentionImpl(options, {.heads = 1, .head_dim = 4}), Error);
}

}  // namespace
}  // namespace lotformer
