// SPDX-License-Identifier: MIT
// The CPU core against the ATen path, for every instruction set of this machine: values, gradients,
// repeatability.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "lotformer/core/text.h"
#include "ops/pivot/core_checks.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/finite_difference.h"
#include "support/near.h"

namespace lotformer::test {
namespace {

struct ShapeRow {
  int64_t r, dim, tokens;
};

/// Every r and every d of the contract, a few lengths each.
std::vector<ShapeRow> shape_table() {
  std::vector<ShapeRow> rows;
  const std::vector<int64_t> dims = {32, 64, 1, 5, 16, 33, 8}, lengths = {1, 2, 17, 1100, 200, 64, 65};
  size_t turn = 0;
  for (const int64_t r : {1, 2, 3, 4, 7, 8, 9, 16, 32, 33, 64, 128}) {
    for (int i = 0; i < 3; ++i, ++turn)
      rows.push_back({r, dims[turn % dims.size()], lengths[(turn + turn / 7) % lengths.size()]});
  }
  rows.push_back({64, 32, 1100});
  rows.push_back({4, 32, 1100});
  return rows;
}

PivotCase ragged_case(const ShapeRow& row, at::ScalarType type) {
  PivotCase x = pivot_case(4, 2, row.tokens, row.dim, row.r, type, 3 + static_cast<uint64_t>(row.r));
  x.lengths = lengths_of({row.tokens, 1, 0, std::max<int64_t>(1, 2 * row.tokens / 3)});
  return x;
}

TEST_CASE("pivot cpu: exact mode against the ATen path") {
  for (const ShapeRow& row : shape_table()) {
    const PivotCase wide = ragged_case(row, at::kFloat);  // float32 numbers in both precisions
    const PivotCase exact = as_type(wide, at::kDouble);
    const PivotResult expected = run_pivot(exact, aten_exact(exact, {1e-12, 200}));
    for (const ops::pivot::cpu::Core* core : cores()) {
      const CoreScope scope(core);
      INFO(core->name << ", r " << row.r << ", d " << row.dim << ", n " << row.tokens);
      check_close(run_pivot(exact, core_exact(exact, {1e-12, 200})), expected, 1e-9);
      check_close(run_pivot(wide, core_exact(wide, {1e-6, 200})), expected, 1e-4);
    }
  }
}

TEST_CASE("pivot cpu: truncated modes against the ATen path") {
  for (const ShapeRow& row : shape_table()) {
    if (row.tokens > 200 && row.r > 33) continue;
    for (const int64_t half_iterations : {1, 2, 3, 6, 7}) {
      for (const bool reference : {false, true}) {
        PivotCase x = ragged_case(row, at::kDouble);
        if (reference) x.pivots.mul_(30);  // some scores beyond the clamp
        if (reference) x.epsilon = 20;
        const PivotResult expected = run_pivot(x, aten_truncated(x, half_iterations, reference));
        for (const ops::pivot::cpu::Core* core : cores()) {
          const CoreScope scope(core);
          INFO(core->name << ", r " << row.r << ", d " << row.dim << ", n " << row.tokens << ", T "
                          << half_iterations << (reference ? ", reference" : ""));
          check_close(run_pivot(x, core_truncated(x, half_iterations, reference)), expected, 1e-9);
        }
      }
    }
  }
}

TEST_CASE("pivot cpu: truncated modes follow a pivot whose mass is far below the range of float32") {
  PivotCase x = pivot_case(2, 2, 60, 16, 6, at::kDouble, 5, 40);
  x.epsilon = 0.3;  // logits in the hundreds
  for (const int64_t half_iterations : {4, 5, 20}) {
    const PivotResult expected = run_pivot(x, aten_truncated(x, half_iterations, false));
    INFO("T " << half_iterations);
    check_close(run_pivot(x, core_truncated(x, half_iterations, false)), expected, 1e-9);
    const PivotCase narrow = as_type(x, at::kFloat);
    const PivotResult own = run_pivot(narrow, aten_truncated(narrow, half_iterations, false));
    const PivotResult core = run_pivot(narrow, core_truncated(narrow, half_iterations, false));
    for (size_t i = 0; i < own.tensors.size();
         ++i) {  // as far from the truth as float32 arithmetic itself is
      const auto error = [&](const PivotResult& r) {
        return (r.tensors[i].to(at::kDouble) - expected.tensors[i]).abs().max().item<double>();
      };
      INFO(kNames[i]);
      CHECK(error(core) <= 4 * error(own) + 1e-5 * expected.tensors[i].abs().max().item<double>());
    }
  }
}

TEST_CASE("pivot: which core takes a call, and why one that is named does not") {
  using ops::PivotCore;
  const PivotCase x = pivot_case(1, 2, 9, 4, 3, at::kFloat, 3);
  ops::PivotCall call = exact_call(x.q, x.k, x.v, x.pivots, at::softmax(x.mass_logits, -1), {}, 0.5,
                                   {1e-5, 32}, PivotCore::automatic);
  const auto refuses = [](const ops::PivotCall& c, const std::string& reason) {
    CHECK_THROWS_WITH(ops::pivot_attention(c), contains_text(reason) && contains_text("use auto or aten"));
  };
  CHECK(ops::choose_core(call).core == PivotCore::cpu);
  CHECK(ops::choose_core(call).refusal.empty());
  call.core = PivotCore::cuda;
  refuses(call, "model.attention.core: cuda: ");
  call.core = PivotCore::aten;
  CHECK(ops::choose_core(call).core == PivotCore::aten);

  // A side that no core computes: automatic goes to aten with the reason, a name is an error.
  call.marginals.keys_by_pivot = true;
  CHECK(ops::choose_core(call).refusal.empty());
  call.core = PivotCore::automatic;
  CHECK(ops::choose_core(call).core == PivotCore::aten);
  CHECK_THAT(ops::choose_core(call).refusal, contains_text("by aten alone"));
  CHECK(ops::pivot_attention(call).sizes() == x.q.sizes());
  call.core = PivotCore::cpu;
  refuses(call, "by aten alone");

  // The truncated modes are aten's unless a core is named.
  ops::PivotCall truncated = truncated_call(x.q, x.k, x.v, x.pivots, at::log_softmax(x.mass_logits, -1), {},
                                            0.5, 4, PivotCore::automatic);
  CHECK(ops::choose_core(truncated).core == PivotCore::aten);
  CHECK(ops::choose_core(truncated).refusal.empty());
  truncated.core = PivotCore::cpu;
  CHECK(ops::choose_core(truncated).core == PivotCore::cpu);
}

TEST_CASE("pivot cpu: gradients against finite differences") {
  PivotCase x = pivot_case(2, 2, 11, 4, 3, at::kDouble, 7);
  x.lengths = lengths_of({11, 6});
  const auto error = [&](const PivotRun& call) {
    return gradient_error(
        [&](const std::vector<at::Tensor>& leaves) { return (call(leaves, nullptr) * x.upstream).sum(); },
        {x.q, x.k, x.v, x.pivots, x.mass_logits}, 1e-3);
  };
  CHECK(error(core_exact(x, {1e-14, 100})) < 1e-8);
  for (const int64_t half_iterations : {1, 2, 5, 8}) {
    CHECK(error(core_truncated(x, half_iterations, false)) < 1e-8);
    CHECK(error(core_truncated(x, half_iterations, true)) < 1e-8);
  }
}

TEST_CASE("pivot cpu: relaxed marginals against finite differences, and the ends of the penalty") {
  PivotCase x = pivot_case(2, 2, 40, 4, 3, at::kDouble, 9);
  x.lengths = lengths_of({40, 13});
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [query, key] : {std::pair{0.3, 2.0}, {0.0, 0.7}, {5.0, 0.0}, {1e-4, 1e3}}) {
    INFO("kappa " << query << " and " << key);
    const at::Tensor kappa = at::tensor({query, query, key, 1.5 * key}, at::kDouble).view({2, 2});
    const auto call = [&](const std::vector<at::Tensor>& l) {
      return (ops::pivot_attention(
                  with_kappa(exact_call(l[0], l[1], l[2], l[3], at::softmax(l[4], -1), x.lengths, x.epsilon,
                                        {1e-14, 200}, ops::PivotCore::cpu),
                             l[5])) *
              x.upstream)
          .sum();
    };
    // Relative steps, so that kappa = 0, where the derivative is one-sided, stays where it is.
    std::vector<at::Tensor> inputs = {x.q, x.k, x.v, x.pivots, x.mass_logits, at::zeros({2, 2}, at::kDouble)};
    const double error = gradient_error(
        [&](std::vector<at::Tensor> l) {
          l[5] = kappa * l[5].exp();
          return call(l);
        },
        inputs, 1e-3);
    CHECK(error < 1e-7);
  }
  // A free side: tokens choose among pivots by a softmax.
  const at::Tensor free = at::full({2, 2}, infinity, at::kDouble);
  const at::Tensor sigma = at::softmax(x.mass_logits, -1);
  const at::Tensor out = ops::pivot_attention(with_kappa(
      exact_call(x.q, x.k, x.v, x.pivots, sigma, {}, x.epsilon, {1e-12, 50}, ops::PivotCore::cpu), free));
  const auto p = [&](const at::Tensor& t) {
    return at::softmax(at::matmul(t, x.pivots.transpose(1, 2).unsqueeze(0)) / (2 * x.epsilon), -1);
  };
  const at::Tensor weights = p(x.k),
                   summary = at::matmul(weights.transpose(2, 3), x.v) / weights.sum(2).unsqueeze(-1);
  CHECK_NEAR(out, at::matmul(p(x.q), summary), 1e-12);

  // So little relaxed that nothing is: log sum(sigma) is not 0 in float32 and must not be divided by kappa.
  const PivotCase narrow = as_type(x, at::kFloat);
  const at::Tensor masses = at::softmax(narrow.mass_logits, -1);
  const auto relaxed = [&](const at::Tensor& kappa) {
    return ops::pivot_attention(with_kappa(exact_call(narrow.q, narrow.k, narrow.v, narrow.pivots, masses, {},
                                                      x.epsilon, {1e-6, 60}, ops::PivotCore::cpu),
                                           kappa));
  };
  const at::Tensor held = relaxed({});
  for (const double kappa : {1e-9, 1e-13, 1e-20, 1e-30}) {
    INFO("kappa " << kappa);
    CHECK_NEAR(relaxed(at::full({2, 2}, kappa, at::kFloat)), held, 1e-5);
  }
}

/// Restores the number of threads.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

TEST_CASE("pivot cpu: the number of threads changes no bit, nor does the batch") {
  for (const int64_t batch : {1, 3}) {
    for (const int64_t r : {4, 40}) {
      PivotCase x = pivot_case(batch, batch == 1 ? 1 : 2, 1500, 24, r, at::kFloat, 11, 2);
      x.lengths = batch == 1 ? at::Tensor() : lengths_of({1500, 700, 64});
      // The masses themselves as leaves: torch's own softmax depends on the number of threads.
      x.mass_logits = at::softmax(x.mass_logits, -1);
      const PivotRun exact = [&](const std::vector<at::Tensor>& l, ops::PivotSolveStats* stats) {
        return ops::pivot_attention(
            exact_call(l[0], l[1], l[2], l[3], l[4], x.lengths, x.epsilon, {1e-5, 32}, ops::PivotCore::cpu),
            stats);
      };
      const PivotRun truncated = [&](const std::vector<at::Tensor>& l, ops::PivotSolveStats*) {
        return ops::pivot_attention(
            truncated_call(l[0], l[1], l[2], l[3], l[4], x.lengths, x.epsilon, 5, ops::PivotCore::cpu));
      };
      for (const PivotRun& call : {exact, truncated}) {
        INFO("batch " << batch << ", r " << r);
        PivotResult first;
        for (const int threads : {1, 2, 3, 16}) {
          const Threads scope(threads);
          const PivotResult result = run_pivot(x, call);
          if (threads == 1) first = result;
          INFO(threads << " threads");
          check_same(result, first);
          check_same(run_pivot(x, call), first);
        }
      }
    }
  }
  const PivotCase together = pivot_case(5, 2, 400, 16, 12, at::kFloat, 13);
  const PivotResult all = run_pivot(together, core_exact(together, {1e-5, 32}));
  for (const int64_t b : {0, 3}) {
    PivotCase alone = together;
    for (at::Tensor* t : {&alone.q, &alone.k, &alone.v, &alone.upstream}) *t = t->narrow(0, b, 1);
    const PivotResult one = run_pivot(alone, core_exact(alone, {1e-5, 32}));
    for (size_t i = 0; i < 4; ++i) CHECK(same_bits(one.tensors[i], all.tensors[i].narrow(0, b, 1)));
  }
}

TEST_CASE("pivot cpu: no bit depends on the threads where numbers are below the normal range") {
  PivotCase x = pivot_case(1, 1, 1500, 24, 8, at::kFloat, 11, 40);
  x.mass_logits = at::softmax(x.mass_logits, -1);
  x.epsilon = 0.02;
  const PivotRun exact = [&](const std::vector<at::Tensor>& l, ops::PivotSolveStats* stats) {
    return ops::pivot_attention(
        exact_call(l[0], l[1], l[2], l[3], l[4], {}, x.epsilon, {1e-5, 32}, ops::PivotCore::cpu), stats);
  };
  for (const double scale : {1e-8, 1e-4}) {  // 1e-8, then 1e-12
    x.upstream = x.upstream * scale;
    PivotResult first;
    for (const int threads : {1, 2, 4}) {
      const Threads scope(threads);
      const PivotResult result = run_pivot(x, exact);
      if (threads == 1) first = result;
      INFO("upstream times " << scale << ", " << threads << " threads");
      check_same(result, first);
    }
  }
}

TEST_CASE("pivot cpu: any layout of the inputs, and an output that joins the heads without a copy") {
  const PivotCase x = pivot_case(2, 3, 70, 32, 5, at::kFloat, 15);
  const PivotResult packed = run_pivot(x, core_exact(x, {1e-5, 32}));
  PivotCase copied = x;
  for (at::Tensor* t : {&copied.q, &copied.k, &copied.v}) *t = t->contiguous();
  copied.q = copied.q.transpose(2, 3).contiguous().transpose(2, 3);  // rows that are not contiguous
  copied.upstream = x.upstream.transpose(0, 1).contiguous().transpose(0, 1);
  check_same(run_pivot(copied, core_exact(copied, {1e-5, 32})), packed);
  const at::Tensor out = packed.tensors[0];
  CHECK(out.transpose(1, 2).is_contiguous());
  PivotCase broadcast = x;
  broadcast.upstream = at::ones({1}, at::kFloat).expand_as(x.upstream);
  PivotCase ones = x;
  ones.upstream = at::ones_like(x.upstream);
  check_same(run_pivot(broadcast, core_exact(broadcast, {1e-5, 32})),
             run_pivot(ones, core_exact(ones, {1e-5, 32})));
}

TEST_CASE("pivot cpu: padding changes no bit and gets zeros") {
  PivotCase x = pivot_case(3, 2, 90, 16, 6, at::kFloat, 17);
  x.lengths = lengths_of({90, 31, 0});
  check_padding(x, [](const PivotCase& c) { return run_pivot(c, core_exact(c, {1e-5, 32})); });
}

TEST_CASE("pivot cpu: a problem with a NaN disturbs no other") {
  const PivotCase x = pivot_case(3, 2, 50, 8, 4, at::kFloat, 19);
  const PivotResult clean = run_pivot(x, core_exact(x, {1e-5, 32}));
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    PivotCase broken = x;
    broken.q = x.q.clone();
    broken.q[1][0][20][3] = bad;
    const PivotResult result = run_pivot(broken, core_exact(broken, {1e-5, 32}));
    CHECK(result.tensors[0][1][0].isnan().any().item<bool>());
    CHECK(result.stats.residual.isnan().sum().item<int64_t>() == 1);
    for (const int64_t b : {0, 2}) CHECK(same_bits(result.tensors[0][b], clean.tensors[0][b]));
    CHECK(same_bits(result.tensors[0][1][1], clean.tensors[0][1][1]));
  }
}

TEST_CASE("pivot cpu: extreme scores stay finite and doubly stochastic") {
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const double score_std : {100.0, 3e4}) {
      const PivotCase x = pivot_case(2, 2, 80, 8, 5, type, 21, score_std);
      const PivotResult result = run_pivot(x, core_exact(x, {1e-6, 20}));
      for (const at::Tensor& t : result.tensors) CHECK(t.isfinite().all().item<bool>());
      PivotCase ones = x;
      ones.v = at::ones_like(x.v);
      CHECK_NEAR(run_pivot(ones, core_exact(ones, {1e-6, 20})).tensors[0], ones.v,
                 type == at::kFloat ? 1e-5 : 1e-12);
    }
  }
}

}  // namespace
}  // namespace lotformer::test
