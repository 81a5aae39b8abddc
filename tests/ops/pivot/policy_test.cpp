// SPDX-License-Identifier: MIT
// One policy, three solvers: the tensor operations (aten/solver.cpp, which states the rules for itself), the
// CPU core and the CUDA core on the emulator (both by newton_rules.h) take the same course through the same
// problems, all in float32.
//
// What rounding allows. The three add up c in different orders and with different exponentials, so their
// points differ by the floor of float32, times what the problem amplifies. A residual next to a threshold
// (half the best, the tolerance) can then fall on either side of it. Newton's residual is squared by a step
// near the solution, so where the path itself is not torn apart that costs one pass, and a problem that takes
// several safeguarded steps two. A rule that is missing or has another constant costs more: without the bound
// of a step the starved and sharp problems below take 15 to 26 passes more.
#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <cstdlib>

#include "ops/pivot/aten/pass.h"
#include "ops/pivot/aten/solver.h"
#include "ops/pivot/cpu/core.h"
#include "ops/pivot/cuda/inputs.h"
#include "ops/pivot/newton_rules.h"
#include "priced_solver.h"
#include "support/catch.h"

namespace lotformer::ops::pivot {
namespace {

using cuda::test::Inputs;

/// Of both sides, queries first.
struct Outcome {
  std::array<int64_t, 2> passes;
  std::array<double, 2> residual;
};

Outcome by_tensors(const Inputs& in) {
  const double scale = 1 / (std::sqrt(static_cast<double>(in.head_dim)) * in.epsilon);
  const auto tensor = [](const std::vector<float>& x, at::IntArrayRef shape) {
    return at::from_blob(const_cast<float*>(x.data()), shape, at::kFloat);
  };
  const at::Tensor x =
      at::stack({tensor(in.q, {in.tokens, in.head_dim}), tensor(in.k, {in.tokens, in.head_dim})});
  const at::Tensor z = tensor(in.z, {in.pivots, in.head_dim});
  const at::Tensor logits = at::matmul(z, x.transpose(1, 2)) * scale;
  const at::Tensor sigma = tensor(in.sigma, {1, in.pivots}).repeat({2, 1});
  TokenMarginal tokens;
  tokens.share = at::full({2, 1}, 1.0 / static_cast<double>(in.tokens), at::kFloat);
  const at::Tensor kappa = in.kappa.empty() ? at::Tensor() : tensor(in.kappa, {2});
  const PivotSolution s = solve_pivot_potentials(logits, tokens, sigma, {in.tolerance, in.max_passes}, kappa);
  return {{s.passes[0].item<int64_t>(), s.passes[1].item<int64_t>()},
          {s.residual[0].item<double>(), s.residual[1].item<double>()}};
}

Outcome by_cpu_core(const Inputs& in) {
  const auto run = [](int64_t count, void (*task)(void*, int64_t), void* context) {
    for (int64_t i = 0; i < count; ++i) task(context, i);
  };
  const cpu::Executor executor{
      1, run, [](std::size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); },
      [](void* memory) { std::free(memory); }};
  const auto rows = [&](const float* data) { return cpu::View<const float>{data, 0, 0, in.head_dim}; };
  const size_t r = static_cast<size_t>(in.pivots), d = static_cast<size_t>(in.head_dim);
  std::vector<float> out(in.q.size()), potentials(2 * r), marginal(2 * r), gram(2 * r * r), summary(r * d),
      residual(2);
  std::vector<int64_t> passes(2);
  cpu::ExactForward<float> call;
  call.problem = {1,
                  1,
                  in.tokens,
                  in.head_dim,
                  in.pivots,
                  nullptr,
                  rows(in.q.data()),
                  rows(in.k.data()),
                  rows(in.v.data()),
                  in.z.data(),
                  in.sigma.data(),
                  in.epsilon};
  call.kappa = in.kappa.empty() ? nullptr : in.kappa.data();
  call.tolerance = in.tolerance;
  call.max_passes = in.max_passes;
  call.out = {out.data(), 0, 0, in.head_dim};
  call.state = {potentials.data(), marginal.data(), gram.data(),
                summary.data(),    residual.data(), passes.data()};
  cpu::kernels_of<float>(cpu::core()).exact_forward(call, executor);
  return {{passes[0], passes[1]}, {residual[0], residual[1]}};
}

void streamed(cuda::Plan& plan) {
  plan.resident = -1;
  plan.stream_cluster = 1;
}

/// The price of the CPU core.
void newton_always(cuda::Plan& plan) {
  plan.newton_price = 1;
}

Outcome by_cuda_core(const Inputs& in, void (*change)(cuda::Plan&) = newton_always) {
  const cuda::test::Results got = cuda::test::run_emulated(in, cuda::test::kLargeDevice, change);
  return {{got.passes[0], got.passes[1]}, {got.residual[0], got.residual[1]}};
}

/// Scores of `sharpness` epsilons, masses exp(mass_std x) of a normal x; `starved` > 0: the last pivot's
/// scores that many epsilons below 0.
Inputs problem(int64_t tokens, int64_t pivots, double sharpness, double mass_std, double starved,
               unsigned seed) {
  Inputs in = cuda::test::random_inputs({1, 1, tokens, pivots, 8}, cuda::Mode::exact, sharpness, false, seed);
  std::mt19937 engine(seed + 100);
  std::normal_distribution<float> normal;
  float sum = 0;
  for (float& x : in.sigma) sum += x = std::exp(static_cast<float>(mass_std) * normal(engine));
  for (float& x : in.sigma) x /= sum;
  if (starved > 0) cuda::test::starve_last_pivot(in, starved);
  in.tolerance = 1e-4;
  return in;
}

struct Case {
  const char* what;
  int64_t tokens, pivots;
  double sharpness, mass_std, starved;
  unsigned seed;
  int64_t rounding;  // passes
};

TEST_CASE("policy: the three solvers take as many passes, and all converge") {
  for (const Case& c : {Case{"flat scores", 150, 8, 0.2, 0, 0, 1, 0},     //
                        Case{"easy", 100, 16, 1, 0, 0, 2, 1},             //
                        Case{"learned masses", 100, 8, 3.3, 3, 0, 1, 1},  //
                        Case{"sharp scores", 100, 8, 33, 0, 0, 1, 1},     //
                        Case{"more pivots than tokens", 20, 32, 3.3, 0, 0, 1, 1},
                        Case{"starved pivot", 20, 8, 10, 6, 30, 1, 2},  //
                        Case{"starved pivot, other masses", 20, 8, 33, 3, 30, 2, 2},
                        Case{"starved out of float32", 20, 8, 10, 6, 80, 1, 2}}) {
    INFO(c.what);
    Inputs in = problem(c.tokens, c.pivots, c.sharpness, c.mass_std, c.starved, c.seed);
    in.max_passes = 64;
    const Outcome aten = by_tensors(in), cpu = by_cpu_core(in), resident = by_cuda_core(in),
                  stream = by_cuda_core(in, streamed);
    for (size_t side = 0; side < 2; ++side) {
      INFO("side " << side << ": tensors " << aten.passes[side] << ", CPU core " << cpu.passes[side]
                   << ", CUDA core " << resident.passes[side] << ", streamed " << stream.passes[side]);
      for (const Outcome* core : {&cpu, &resident, &stream}) {
        CHECK(std::abs(core->passes[side] - aten.passes[side]) <= c.rounding);
        CHECK(core->residual[side] <= in.tolerance);
      }
      CHECK(aten.residual[side] <= in.tolerance);
    }
  }
}

TEST_CASE("policy: relaxed marginals take as many passes") {
  Inputs in = problem(60, 8, 3.3, 1, 0, 3);
  in.kappa = {0.3f, 2};
  const Outcome aten = by_tensors(in), cpu = by_cpu_core(in), gpu = by_cuda_core(in);
  for (size_t side = 0; side < 2; ++side) {
    INFO("side " << side << ": tensors " << aten.passes[side] << ", CPU core " << cpu.passes[side]
                 << ", CUDA core " << gpu.passes[side]);
    CHECK(std::abs(cpu.passes[side] - aten.passes[side]) <= 1);
    CHECK(std::abs(gpu.passes[side] - aten.passes[side]) <= 1);
    CHECK(gpu.residual[side] <= in.tolerance);
  }
}

/// Residuals agree to 1e-3 of themselves while the residual is far above the floor, because the course up to
/// there is the same; that a few sharp steps amplify rounding is what the rest of the hundredth is for.
void check_same_residual(const Outcome& core, const Outcome& aten) {
  for (size_t side = 0; side < 2; ++side) {
    INFO("side " << side << ": " << core.residual[side] << ", tensors " << aten.residual[side]);
    CHECK(core.passes[side] == aten.passes[side]);
    CHECK(std::abs(core.residual[side] - aten.residual[side]) <= 0.01 * aten.residual[side] + 1e-6);
  }
}

TEST_CASE("policy: few passes for few tokens are Sinkhorn steps, to the same residual") {
  Inputs in = problem(20, 8, 10, 1, 0, 2);
  for (const int64_t passes : {1, 2, 3, 5, 9}) {
    in.max_passes = passes;
    INFO(passes << " passes");
    const Outcome aten = by_tensors(in);
    check_same_residual(by_cpu_core(in), aten);
    check_same_residual(by_cuda_core(in), aten);
  }
}

TEST_CASE("policy: passes run out, and the point of the smallest residual is handed out") {
  // Without the return, the ends are on one side 7 % to 40 % above the point left behind.
  struct End {
    double sharpness, starved;
    unsigned seed;
    int64_t passes;
  };
  for (const End& end :
       {End{33, 0, 2, 4}, End{33, 0, 2, 5}, End{33, 0, 2, 8}, End{100, 30, 1, 6}, End{33, 30, 2, 8}}) {
    Inputs in = problem(70, 8, end.sharpness, 0, end.starved, end.seed);
    in.max_passes = end.passes;
    INFO("sharpness " << end.sharpness << ", seed " << end.seed << ", " << end.passes << " passes");
    const Outcome aten = by_tensors(in);
    check_same_residual(by_cpu_core(in), aten);
    check_same_residual(by_cuda_core(in), aten);
    check_same_residual(by_cuda_core(in, streamed), aten);
  }
}

TEST_CASE("policy: one more pass never ends above") {
  Inputs in = problem(70, 8, 33, 0, 0, 2);
  Outcome before{{0, 0}, {10, 10}};
  for (in.max_passes = 4; in.max_passes <= 10; ++in.max_passes) {
    INFO(in.max_passes << " passes");
    const Outcome got = by_cuda_core(in);
    for (size_t side = 0; side < 2; ++side) CHECK(got.residual[side] <= before.residual[side]);
    before = got;
  }
}

/// The rules in double, of one side.
test::StepCounts by_rules(const Inputs& in, size_t side, double price) {
  test::PricedProblem p;
  p.tokens = in.tokens;
  p.pivots = in.pivots;
  p.sigma.assign(in.sigma.begin(), in.sigma.end());
  p.tolerance = in.tolerance;
  p.max_passes = in.max_passes;
  p.price = price;
  const std::vector<float>& x = side ? in.k : in.q;
  for (int64_t i = 0; i < in.tokens; ++i) {
    for (int64_t j = 0; j < in.pivots; ++j) {
      double sum = 0;
      for (int64_t d = 0; d < in.head_dim; ++d) sum += x[i * in.head_dim + d] * in.z[j * in.head_dim + d];
      p.scores.push_back(
          static_cast<float>(sum / (std::sqrt(static_cast<double>(in.head_dim)) * in.epsilon)));
    }
  }
  return test::solve_priced(p);
}

constexpr float kPrice = 7;
void with_price(cuda::Plan& plan) {
  plan.newton_price = kPrice;
}

TEST_CASE("policy: with a price the CUDA core takes the steps of the rules, fewer of them Newton's") {
  struct Priced {
    const char* what;
    int64_t tokens, pivots;
    double sharpness, mass_std;
    int64_t most_newton;
    double tolerance;
  };
  int64_t mixed = 0, newton = 0, saved = 0, other_courses = 0;
  for (const Priced& c :
       {Priced{"easy", 150, 16, 1, 0, 0, 1e-4}, Priced{"learned masses", 150, 8, 2, 1, 0, 1e-4},
        Priced{"sharp", 150, 8, 10, 0, 3, 1e-4}, Priced{"sharper", 100, 16, 33, 0, 12, 1e-4},
        Priced{"to the floor", 150, 8, 1, 0, 2, 1e-6}}) {
    INFO(c.what);
    Inputs in = problem(c.tokens, c.pivots, c.sharpness, c.mass_std, 0, 1);
    in.max_passes = 64;
    in.tolerance = c.tolerance;
    const Outcome got = by_cuda_core(in, with_price), plain = by_cuda_core(in);
    for (size_t side = 0; side < 2; ++side) {
      const test::StepCounts rules = by_rules(in, side, kPrice), always = by_rules(in, side, 1);
      INFO("side " << side << ": rules " << rules.passes << ", of them mixed " << rules.mixed << ", Newton "
                   << rules.newton << ", CUDA core " << got.passes[side] << ", residual "
                   << got.residual[side] << "; without a price " << always.passes << " and "
                   << plain.passes[side]);
      // Mixing solves a small system of nearly parallel differences, which amplifies rounding.
      CHECK(std::abs(got.passes[side] - rules.passes) <= (c.sharpness > 5 ? 2 : 1));
      CHECK(std::abs(plain.passes[side] - always.passes) <= 1);
      CHECK(got.residual[side] <= in.tolerance);
      CHECK(rules.residual <= in.tolerance);
      CHECK(rules.newton <= c.most_newton);
      CHECK(rules.newton <= always.newton);
      CHECK(always.mixed == 0);
      mixed += rules.mixed;
      other_courses += got.passes[side] != plain.passes[side];
      newton += rules.newton;
      saved += always.newton - rules.newton;
    }
  }
  CHECK(mixed > 0);
  CHECK(other_courses > 0);
  CHECK(newton > 0);  // some of them are worth their price
  CHECK(saved > 0);
}

TEST_CASE("policy: what the rules and the tensor solver take for rounding is the same") {
  const auto check = [](auto number, at::ScalarType type) {
    using P = rules::Precision<decltype(number)>;
    const aten::Precision& precision = aten::precision_of(at::zeros({1}, type));
    CHECK(P::kDualNoise == precision.dual_noise);
    CHECK(P::kLeastDamping == precision.least_damping);
    CHECK(P::kJitter == precision.jitter);
    CHECK(P::kTiny == precision.tiny);
    CHECK(std::abs(P::kEpsilon / precision.epsilon - 1) < 1e-7);
  };
  check(1.0f, at::kFloat);
  check(1.0, at::kDouble);
}

}  // namespace
}  // namespace lotformer::ops::pivot
