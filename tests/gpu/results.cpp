// SPDX-License-Identifier: MIT
#include <ATen/ATen.h>

#include <utility>

#include "call.h"
#include "commands.h"
#include "json_line.h"

namespace lotformer::gpu {
namespace {

struct Row {
  int64_t pivots, head_dim;
};

/// One entry of each row of the dispatch table, and numbers between the rows.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {{4, 32},   {8, 64}, {16, 32}, {32, 64}, {64, 32},
                                       {128, 32}, {3, 16}, {20, 32}, {40, 64}};
  return all;
}

ops::pivot::cuda::Plan plan_of(const Shape& s, Mode mode, bool bf16, const ops::pivot::cuda::Device& part) {
  ops::pivot::cuda::Problem p;
  p.batch = s.batch;
  p.heads = s.heads;
  p.tokens = s.tokens;
  p.pivots = s.pivots;
  p.head_dim = s.head_dim;
  p.bf16 = bf16;
  p.mode = mode == Mode::exact       ? ops::pivot::cuda::Mode::exact
           : mode == Mode::truncated ? ops::pivot::cuda::Mode::truncated
                                     : ops::pivot::cuda::Mode::reference;
  return ops::pivot::cuda::make_plan(p, part);
}

/// The most tokens, by doubling, whose solver is resident in one CTA; then in a cluster of each size, and by
/// each resident kernel of the row; then streamed.
std::vector<int64_t> token_counts(const Row& row, const Setting& setting) {
  if (setting.emulated) return {33};
  std::vector<int64_t> counts = {1, 131};
  std::pair<int, int> solver = {0, 1};  // the kernel's index, its cluster
  for (int64_t tokens = 64; tokens <= 32768; tokens *= 2) {
    const ops::pivot::cuda::Plan plan =
        plan_of({2, 2, tokens + 5, row.pivots, row.head_dim}, Mode::exact, false, setting.part);
    const std::pair<int, int> now = {plan.resident, plan.resident >= 0 ? plan.cluster : 0};
    if (now == solver) continue;
    solver = now;
    counts.push_back(tokens + 5);
    if (plan.resident < 0) break;
    if (setting.quick && counts.size() > 3) tokens = 16384;  // one cluster, then the streamed solver
  }
  return counts;
}

struct Tolerance {
  double out, gradient;
};

JsonLine correctness_line(const Shape& shape, Mode mode, bool bf16, const Setting& setting) {
  const ops::pivot::cuda::Plan plan = plan_of(shape, mode, bf16, setting.part);
  JsonLine line("correctness");
  line.text("mode", name_of(mode)).text("dtype", bf16 ? "bf16" : "float32");
  line.integer("tokens", shape.tokens).integer("pivots", shape.pivots).integer("head_dim", shape.head_dim);
  line.text("solver", plan.resident >= 0 ? "resident" : "streamed").integer("kernel", plan.resident);
  line.integer("cluster", plan.resident >= 0 ? plan.cluster : plan.stream_cluster);
  return line;
}

bool compare(JsonLine& line, const Results& got, const Results& expected, Mode mode, Tolerance tolerance) {
  bool passed = got.tensors.size() == expected.tensors.size();
  for (size_t i = 0; i < got.tensors.size(); ++i) {
    if (i == 5 && mode == Mode::reference) continue;  // masses are no input there
    const double relative = error(got, expected, i);
    line.number(kResultNames[i], relative);
    passed = passed && relative <= (i == 0 ? tolerance.out : tolerance.gradient);
  }
  line.number("tolerance_out", tolerance.out).number("tolerance_gradient", tolerance.gradient);
  line.boolean("passed", passed).print();
  return passed;
}

bool check_one(const Shape& shape, Mode mode, at::ScalarType type, const Setting& setting) {
  Call call = random_call(shape, mode, type, 17 + shape.tokens, /*ragged=*/true);
  call.half_iterations = mode == Mode::truncated ? 5 : 6;
  const bool bf16 = type == at::kBFloat16;
  const Results expected = oracle(call), got = run(moved(call, setting.device), Path::core);
  JsonLine line = correctness_line(shape, mode, bf16, setting);
  return compare(line, got, expected, mode, bf16 ? Tolerance{1e-2, 2e-2} : Tolerance{1e-4, 6e-4});
}

/// Problems that take other paths through the kernels than random ones.
bool check_hard(const Shape& shape, Hardship hardship, const Setting& setting) {
  const Call call = hard_call(shape, at::kFloat, 23 + shape.tokens, hardship);
  const Results expected = oracle(call), got = run(moved(call, setting.device), Path::core);
  JsonLine line = correctness_line(shape, Mode::exact, /*bf16=*/false, setting);
  line.text("hardship", name_of(hardship));
  // Sharp plans are almost permutations: a residual of 1e-6 moves their gradients more.
  const bool sharp = hardship == Hardship::sharp || hardship == Hardship::starving;
  return compare(line, got, expected, Mode::exact, sharp ? Tolerance{1e-3, 1e-2} : Tolerance{1e-4, 1e-3});
}

bool check_hard_rows(const Setting& setting) {
  bool passed = true;
  for (const Row& row : rows()) {
    for (const Hardship hardship :
         {Hardship::sharp, Hardship::relaxed, Hardship::empty, Hardship::starving}) {
      if (setting.emulated) {
        passed = check_hard({2, 1, 24, row.pivots, row.head_dim}, hardship, setting) && passed;
        continue;
      }
      for (const int64_t tokens : {int64_t{150}, int64_t{row.pivots > 64 ? 900 : 2000}})
        passed = check_hard({3, 2, tokens, row.pivots, row.head_dim}, hardship, setting) && passed;
    }
    if (setting.emulated) break;  // one row
  }
  return passed;
}

Call first_sequence(const Call& call) {
  Call one = call;
  for (at::Tensor* t : {&one.q, &one.k, &one.v, &one.d_out}) *t = t->narrow(0, 0, 1);
  if (one.lengths.defined()) one.lengths = one.lengths.narrow(0, 0, 1);
  return one;
}

/// Bits: twice the same call, and the first sequence alone.
bool check_bits(const Shape& shape, Mode mode, const Setting& setting) {
  Call call = moved(random_call(shape, mode, at::kFloat, 5, true), setting.device);
  call.half_iterations = 6;
  const Results once = run(call, Path::core), again = run(call, Path::core),
                alone = run(first_sequence(call), Path::core);
  const bool repeatable = same_bits(once, again);
  bool independent = true;
  for (size_t i = 0; i < 4; ++i)
    independent = independent && alone.tensors[i].eq(once.tensors[i].narrow(0, 0, 1)).all().item<bool>();
  JsonLine line("bits");
  line.text("mode", name_of(mode)).integer("tokens", shape.tokens).integer("pivots", shape.pivots);
  line.boolean("repeatable", repeatable).boolean("independent_of_batch", independent);
  line.boolean("passed", repeatable && independent).print();
  return repeatable && independent;
}

}  // namespace

bool check_results(const Setting& setting) {
  bool passed = true;
  size_t done = 0;
  for (const Row& row : rows()) {
    for (const int64_t tokens : token_counts(row, setting)) {
      for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
        for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
          if (type == at::kBFloat16 && tokens == 1) continue;
          passed = check_one({3, 2, tokens, row.pivots, row.head_dim}, mode, type, setting) && passed;
          if (setting.emulated && ++done == 6) break;
        }
      }
    }
    if (setting.emulated && done >= 6) break;
  }
  passed = check_hard_rows(setting) && passed;
  const std::vector<int64_t> counts =
      setting.emulated ? std::vector<int64_t>{40} : std::vector<int64_t>{300, 2000, 9000};
  for (const int64_t tokens : counts) {
    for (const int64_t pivots :
         setting.emulated ? std::vector<int64_t>{8} : std::vector<int64_t>{4, 32, 128}) {
      passed = check_bits({3, 2, tokens, pivots, 32}, Mode::exact, setting) && passed;
      passed = check_bits({3, 2, tokens, pivots, 32}, Mode::truncated, setting) && passed;
    }
  }
  return passed;
}

void run_smallest(const Setting& setting) {
  for (const Row& row : rows()) {
    for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        Call call = random_call({2, 1, 150, row.pivots, row.head_dim}, mode, type, 3, true);
        call.half_iterations = 4;
        const Results results = run(moved(call, setting.device), Path::core);
        JsonLine("smallest")
            .integer("pivots", row.pivots)
            .text("mode", name_of(mode))
            .boolean("finite", results.tensors[0].isfinite().all().item<bool>())
            .print();
      }
    }
  }
}

}  // namespace lotformer::gpu
