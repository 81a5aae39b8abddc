// SPDX-License-Identifier: MIT
// The CUDA core behind its operators, autograd and the attention module, with emulated kernels: everything of
// the way from a tensor to a kernel's argument except the GPU.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <limits>

#include "emulated_core.h"
#include "lotformer/attention/lotformer.h"
#include "lotformer/core/log.h"
#include "lotformer/ops/autocast.h"
#include "ops/pivot/core_checks.h"
#include "ops/pivot/operators.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

/// q, k, v as a layer hands them over, an upstream gradient that is no plain matrix, and ragged lengths.
PivotCase ragged_case(int64_t r, int64_t dim, int64_t tokens, std::vector<int64_t> lengths) {
  const auto batch = static_cast<int64_t>(lengths.size());
  PivotCase x = pivot_case(batch, 2, tokens, dim, r, at::kFloat, 3 + static_cast<uint64_t>(r));
  x.upstream = x.upstream.transpose(2, 3).contiguous().transpose(2, 3);
  x.lengths = lengths_of(std::move(lengths));
  return x;
}

PivotResult run_emulated_pivot(const PivotCase& x, const PivotRun& call) {
  const EmulatedCore core;
  return run_pivot(x, call);
}

struct ShapeRow {
  int64_t r, dim, tokens;
  std::vector<int64_t> lengths;
};

TEST_CASE("cuda binding: mode exact against the ATen path in float64 and the CPU core") {
  for (const ShapeRow& row : {ShapeRow{5, 16, 70, {70, 1, 0}}, ShapeRow{8, 32, 90, {31, 90}},
                              ShapeRow{20, 64, 40, {40, 17}}, ShapeRow{64, 32, 33, {33}}}) {
    const PivotCase x = ragged_case(row.r, row.dim, row.tokens, row.lengths);
    const PivotCase wide = as_type(x, at::kDouble);
    INFO("r " << row.r << ", d " << row.dim << ", n " << row.tokens);
    const PivotResult got = run_emulated_pivot(x, core_exact(x, {1e-6, 64}));
    check_close(got, run_pivot(wide, aten_exact(wide, {1e-12, 200})), 4e-4);
    check_close(got, run_pivot(x, core_exact(x, {1e-6, 64})), 8e-4);
    CHECK(got.stats.problems == 4 * x.q.size(0));
    CHECK(got.stats.mean_passes() >= 1);
    CHECK(got.stats.longest < 32);
    CHECK(got.stats.capped == 0);
    CHECK(got.stats.max_residual() <= 1e-6);
  }
}

TEST_CASE("cuda binding: masses of the tokens against the ATen path in float64 and the CPU core") {
  for (const int sides : {1, 2, 3}) {  // queries, keys, both
    PivotCase x = ragged_case(4, 16, 50, {50, 21});
    torch::manual_seed(3);
    const at::Tensor logits = at::randn({2, 2, 2, 50});
    if (sides & 1) x.query_logits = logits[0];
    if (sides & 2) x.key_logits = logits[1];
    const PivotCase wide = as_type(x, at::kDouble);
    INFO("sides " << sides);
    const PivotResult got = run_emulated_pivot(x, core_exact(x, {1e-6, 64}));
    CHECK(got.tensors.size() == (sides == 3 ? 8 : 7));
    check_close(got, run_pivot(wide, aten_exact(wide, {1e-12, 200})), 4e-4);
    check_close(got, run_pivot(x, core_exact(x, {1e-6, 64})), 8e-4);
  }
}

TEST_CASE("cuda binding: relaxed and free marginals against the ATen path in float64, kappa differentiable") {
  const PivotCase x = ragged_case(5, 16, 40, {40, 13});
  const at::Tensor kappa = at::tensor({0.3, 2.0, 0.0, std::numeric_limits<double>::infinity()}).view({2, 2});
  const auto gradients = [&](at::ScalarType type, bool core) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& t : {x.q, x.k, x.v, x.pivots, at::softmax(x.mass_logits, -1), kappa})
      leaves.push_back(t.to(type).detach().requires_grad_());
    const ops::PivotSolverOptions options{type == at::kDouble ? 1e-12 : 1e-6, 100};
    const at::Tensor out = ops::pivot_attention(
        with_kappa(exact_call(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], x.lengths, x.epsilon,
                              options, core ? ops::PivotCore::cpu : ops::PivotCore::aten),
                   leaves[5]));
    out.backward(x.upstream.to(type));
    std::vector<at::Tensor> all = {out.detach()};
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
    all[5] = all[5] - all[5].mean(-1, /*keepdim=*/true);                    // of masses whose sum is 1
    all[6] = all[6].masked_fill(kappa.eq(0).logical_or(kappa.isinf()), 0);  // one-sided there, or no variable
    return all;
  };
  const std::vector<at::Tensor> expected = gradients(at::kDouble, false);
  std::vector<at::Tensor> got;
  {
    const EmulatedCore core;
    got = gradients(at::kFloat, true);
  }
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("result " << i);
    CHECK(relative_difference(got[i], expected[i], 1e-3) == "");
  }
}

TEST_CASE("cuda binding: T half-iterations against the ATen path in float64") {
  for (const bool reference : {false, true}) {
    for (const int64_t half_iterations : {2, 5}) {
      PivotCase x = ragged_case(reference ? 7 : 12, 16, 45, {45, 20, 1});
      if (reference) {  // some scores beyond the clamp
        x.pivots.mul_(30);
        x.epsilon = 20;
      }
      const PivotCase wide = as_type(x, at::kDouble);
      INFO((reference ? "reference" : "truncated") << ", T " << half_iterations);
      check_close(run_emulated_pivot(x, core_truncated(x, half_iterations, reference)),
                  run_pivot(wide, aten_truncated(wide, half_iterations, reference)), 4e-4);
    }
  }
}

TEST_CASE("cuda binding: bf16 tokens beside float32 pivots") {
  for (const bool exact : {true, false}) {
    PivotCase x = ragged_case(6, 32, 50, {50, 23});
    for (at::Tensor* t : {&x.q, &x.k, &x.v, &x.upstream}) *t = t->to(at::kBFloat16);
    const PivotCase wide = as_type(x, at::kDouble);  // the same numbers
    const PivotResult got =
        run_emulated_pivot(x, exact ? core_exact(x, {1e-6, 64}) : core_truncated(x, 4, false));
    for (const size_t i : {0, 1, 2, 3}) CHECK(got.tensors[i].scalar_type() == at::kBFloat16);
    for (const size_t i : {4, 5}) CHECK(got.tensors[i].scalar_type() == at::kFloat);
    check_close(got, run_pivot(wide, exact ? aten_exact(wide, {1e-12, 200}) : aten_truncated(wide, 4, false)),
                1e-2);
  }
}

TEST_CASE("cuda binding: any layout of the inputs and of the gradient, and an output that joins the heads") {
  const PivotCase x = pivot_case(2, 3, 30, 32, 5, at::kFloat, 15);
  const PivotResult packed = run_emulated_pivot(x, core_exact(x, {1e-5, 32}));
  PivotCase copied = x;
  for (at::Tensor* t : {&copied.q, &copied.k, &copied.v}) *t = t->contiguous();
  copied.q = copied.q.transpose(2, 3).contiguous().transpose(2, 3);  // rows that are not contiguous
  check_same(run_emulated_pivot(copied, core_exact(copied, {1e-5, 32})), packed);
  PivotCase shifted = x;  // contiguous, but beginning between two pairs of numbers
  const at::Tensor room = at::empty({x.k.numel() + 1});
  shifted.k = room.narrow(0, 1, x.k.numel()).view(x.k.sizes()).copy_(x.k);
  check_same(run_emulated_pivot(shifted, core_exact(shifted, {1e-5, 32})), packed);
  PivotCase broadcast = x;
  broadcast.upstream = at::ones({1}, at::kFloat).expand_as(x.upstream);
  PivotCase ones = x;
  ones.upstream = at::ones_like(x.upstream);
  check_same(run_emulated_pivot(broadcast, core_exact(broadcast, {1e-5, 32})),
             run_emulated_pivot(ones, core_exact(ones, {1e-5, 32})));
  CHECK(packed.tensors[0].transpose(1, 2).is_contiguous());
}

TEST_CASE("cuda binding: one sequence, one head, one token: strides without a meaning") {
  PivotCase x = pivot_case(1, 1, 1, 8, 3, at::kFloat, 21);
  for (at::Tensor* t : {&x.q, &x.k, &x.v}) *t = at::as_strided(t->contiguous(), {1, 1, 1, 8}, {7, 5, 3, 1});
  const PivotCase wide = as_type(x, at::kDouble);
  check_close(run_emulated_pivot(x, core_exact(x, {1e-6, 64})),
              run_pivot(wide, aten_exact(wide, {1e-12, 200})), 4e-4);
}

TEST_CASE("cuda binding: padding changes no bit and gets zeros") {
  PivotCase x = pivot_case(3, 2, 40, 16, 6, at::kFloat, 17);
  x.lengths = lengths_of({40, 11, 0});
  check_padding(x, [](const PivotCase& c) { return run_emulated_pivot(c, core_exact(c, {1e-5, 32})); });
}

TEST_CASE("cuda binding: nothing in, nothing out") {
  const EmulatedCore core;
  const PivotCase x = pivot_case(0, 2, 20, 16, 4, at::kFloat, 5);
  const at::Tensor sigma = at::softmax(x.mass_logits, -1);
  CHECK(ops::pivot_attention(
            exact_call(x.q, x.k, x.v, x.pivots, sigma, {}, 0.5, {1e-5, 32}, ops::PivotCore::cpu))
            .sizes() == x.q.sizes());
  const ops::PivotArguments arguments{x.q, x.k, x.v, x.pivots, sigma, {}, {}, 0.5};
  const ops::pivot::cuda::bind::Target target{emulated_device()};
  const auto forward = ops::pivot::cuda::bind::forward(arguments, {}, target);
  CHECK(forward.out.sizes() == x.q.sizes());
  const auto gradients = ops::pivot::cuda::bind::backward(arguments, {}, x.upstream, forward.state, target);
  CHECK(gradients.q.sizes() == x.q.sizes());
  CHECK(same_bits(gradients.pivots, at::zeros_like(x.pivots)));
  CHECK(same_bits(gradients.sigma, at::zeros_like(sigma)));
}

/// Log lines while alive.
class Lines {
 public:
  Lines() {
    log::set_observer([this](log::Level, std::string_view line) { text_ += std::string(line) + "\n"; });
  }
  ~Lines() { log::set_observer({}); }
  size_t count(const std::string& part) const {
    size_t found = 0;
    for (size_t at = text_.find(part); at != std::string::npos; at = text_.find(part, at + 1)) ++found;
    return found;
  }

 private:
  std::string text_;
};

TEST_CASE("cuda binding: what the core does not serve takes the ATen path, with one line for each reason") {
  const Lines lines;
  struct Case {
    PivotCase x;
    std::string reason;
  };
  const PivotCase odd = pivot_case(2, 2, 20, 7, 4, at::kFloat, 23);
  const PivotCase wide = pivot_case(2, 2, 20, 16, 4, at::kDouble, 23);
  const PivotCase many = pivot_case(1, 1, 20, 16, 130, at::kFloat, 23);
  for (const Case& c : {Case{odd, "even head dimensions"}, Case{wide, "not Double"}, Case{many, "not 130"}}) {
    INFO(c.reason);
    for (int twice = 0; twice < 2; ++twice) {
      check_same(run_emulated_pivot(c.x, exact_run(c.x, {1e-6, 64}, ops::PivotCore::automatic)),
                 run_pivot(c.x, aten_exact(c.x, {1e-6, 64})));
    }
    CHECK(lines.count(c.reason) == 1);
    // Named, it is an error with the reason, in every mode.
    for (const PivotRun& run :
         {core_exact(c.x, {1e-6, 64}), core_truncated(c.x, 3, false), core_truncated(c.x, 3, true)})
      CHECK_THROWS_WITH(run_emulated_pivot(c.x, run),
                        contains_text(c.reason) && contains_text("use auto or aten"));
  }
  // bf16 comes back as bf16.
  PivotCase low = odd;
  for (at::Tensor* t : {&low.q, &low.k, &low.v, &low.upstream}) *t = t->to(at::kBFloat16);
  const PivotRun run = exact_run(low, {1e-6, 64}, ops::PivotCore::automatic);
  CHECK(run_emulated_pivot(low, run).tensors[0].scalar_type() == at::kBFloat16);
  CHECK(lines.count("ATen path") == 3);
}

TEST_CASE("cuda binding: the operators name what they cannot do") {
  const EmulatedCore core;
  const PivotCase x = pivot_case(2, 2, 10, 16, 4, at::kFloat, 6);
  const at::Tensor sigma = at::softmax(x.mass_logits, -1);
  ops::pivot::cuda::bind::Target target{emulated_device()};
  const auto call = [&](const at::Tensor& q, const at::Tensor& pivots, const at::Tensor& lengths) {
    return ops::pivot::cuda::bind::forward({q, x.k, x.v, pivots, sigma, {}, lengths, 0.5}, {}, target);
  };
  CHECK_THROWS_WITH(call(x.q.to(at::kBFloat16), x.pivots, {}), contains_text("beside BFloat16 queries"));
  CHECK_THROWS_WITH(call(x.q, x.pivots.to(at::kDouble), {}), contains_text("float32 on CUDA, got Double"));
  CHECK_THROWS_WITH(call(x.q, x.pivots, lengths_of({3})), contains_text("int64 [B]"));
  CHECK_THROWS_WITH(call(x.q, x.pivots.narrow(2, 0, 4), {}), contains_text("[H, r, D]"));
  const auto forward = call(x.q, x.pivots, {});
  const ops::PivotArguments arguments{x.q, x.k, x.v, x.pivots, sigma, {}, {}, 0.5};
  const auto back = [&](const at::Tensor& d_out, const at::Tensor& state) {
    return ops::pivot::cuda::bind::backward(arguments, {}, d_out, state, target);
  };
  CHECK_THROWS_WITH(back(x.upstream, forward.state.narrow(0, 4, 8)),
                    contains_text("the state is not that of"));
  CHECK_THROWS_WITH(back(x.upstream.to(at::kDouble), forward.state), contains_text("of Double beside q"));
  target.device = {1, 1 << 10};
  CHECK_THROWS_WITH(call(x.q, x.pivots, {}), contains_text("bytes of shared memory"));
}

TEST_CASE("cuda binding: under autocast bf16 tokens stay, everything else is float32") {
  const EmulatedCore core;
  const ops::AutocastScope autocast(at::kCPU, at::kBFloat16);
  const PivotCase x = pivot_case(2, 2, 20, 16, 4, at::kFloat, 6);
  const at::Tensor sigma = at::softmax(x.mass_logits, -1);
  const auto call = [&](const at::Tensor& q, const at::Tensor& k) {
    return ops::exact_by_operator(
        exact_call(q, k, k, x.pivots.to(at::kBFloat16), sigma.to(at::kBFloat16), {}, 0.5, {1e-5, 32}),
        nullptr);
  };
  const at::Tensor low = x.q.to(at::kBFloat16);
  CHECK(call(low, low).scalar_type() == at::kBFloat16);
  CHECK(call(low, low.to(at::kFloat)).scalar_type() == at::kFloat);
}

TEST_CASE("cuda binding: the attention module hands bf16 over as it is") {
  LotformerOptions options;
  options.core = "cpu";
  options.pivots = 6;
  options.masses = "learned";
  LotformerAttentionImpl attention(options, {.heads = 2, .head_dim = 16});
  const AttentionInputs in = attention_inputs({2, 2, 30, 16}, at::kBFloat16, 4);
  const at::Tensor lengths = lengths_of({30, 12});
  at::Tensor out, d_pivots;
  {
    const EmulatedCore core;
    out = attention.forward(in.q, in.k, in.v, lengths);
    out.to(at::kFloat).square().sum().backward();
    d_pivots = attention.pivots.grad().clone();
    CHECK(attention.last_stats().passes.defined() == false);
    // Nobody takes fp16: it is raised to float32, which the core serves.
    const AttentionInputs half = attention_inputs({2, 2, 30, 16}, at::kHalf, 4);
    CHECK(attention.forward(half.q, half.k, half.v, lengths).scalar_type() == at::kHalf);
  }
  CHECK(out.scalar_type() == at::kBFloat16);
  attention.pivots.mutable_grad().zero_();
  const at::Tensor expected =
      attention.forward(in.q, in.k, in.v, lengths);  // raised to float32 for the CPU core
  expected.to(at::kFloat).square().sum().backward();
  CHECK(relative_difference(out, expected, 1e-2) == "");
  CHECK(relative_difference(d_pivots, attention.pivots.grad(), 2e-2) == "");
}

TEST_CASE("cuda binding: core cuda is refused where there is none") {
  LotformerOptions options;
  options.core = "cuda";
  LotformerAttentionImpl attention(options, {.heads = 2, .head_dim = 16});
  const AttentionInputs in = attention_inputs({1, 2, 8, 16}, at::kFloat, 4);
  CHECK_THROWS_WITH(attention.forward(in.q, in.k, in.v, {}), contains_text("model.attention.core: cuda: "));
}

}  // namespace
}  // namespace lotformer::test
