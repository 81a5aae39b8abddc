// SPDX-License-Identifier: MIT
// How many steps of each kind the rules take at the shapes of the five tasks, for the call model of
// scripts/dev/kernel_calls.py (MIXES in kernel_shapes.py): means over problems with random tokens and pivots
// whose scores have a standard deviation of 1 and 10 epsilon, and over problems of few distinct tokens.
//   pivot_step_mix [PROBLEMS]     8 of each; Markdown
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "ops/pivot/cuda/prices.h"
#include "priced_solver.h"

namespace {

using lotformer::ops::pivot::test::PricedProblem;
using lotformer::ops::pivot::test::solve_priced;
using lotformer::ops::pivot::test::StepCounts;

constexpr int64_t kDim = 32;

struct Shape {
  const char* task;
  int64_t tokens, pivots;
  int warps;  // of the resident solver that serves it
};

/// `distinct` > 0: tokens are one of so many, uneven in number, with a tenth of noise in their variance, and
/// pivots share a direction; that is how a vocabulary and learned pivots look.
struct Family {
  const char* name;
  float sharpness;
  int distinct;
};

std::vector<float> normal(std::mt19937& engine, int64_t count, float scale) {
  std::normal_distribution<float> draw;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) value = scale * draw(engine);
  return x;
}

std::vector<float> tokens_of(std::mt19937& engine, const Shape& shape, const Family& family) {
  if (!family.distinct) return normal(engine, shape.tokens * kDim, 1);
  const std::vector<float> kinds = normal(engine, family.distinct * kDim, 1);
  std::vector<float> x = normal(engine, shape.tokens * kDim, 0.3f);
  std::uniform_real_distribution<float> draw(0, 1);
  for (int64_t i = 0; i < shape.tokens; ++i) {
    const float u = draw(engine);
    const int64_t kind =
        std::min<int64_t>(family.distinct - 1, static_cast<int64_t>(u * u * family.distinct));
    for (int64_t d = 0; d < kDim; ++d) x[i * kDim + d] += kinds[kind * kDim + d];
  }
  return x;
}

std::vector<float> pivots_of(std::mt19937& engine, const Shape& shape, const Family& family) {
  std::vector<float> z = normal(engine, shape.pivots * kDim, family.sharpness);
  if (!family.distinct) return z;
  const std::vector<float> shared = normal(engine, kDim, family.sharpness);
  for (int64_t e = 0; e < shape.pivots * kDim; ++e) z[e] = 0.7f * (z[e] + shared[e % kDim]);
  return z;
}

PricedProblem problem_of(std::mt19937& engine, const Shape& shape, const Family& family) {
  PricedProblem p;
  p.tokens = shape.tokens;
  p.pivots = shape.pivots;
  p.sigma.assign(static_cast<size_t>(shape.pivots), 1.0 / static_cast<double>(shape.pivots));
  const std::vector<float> x = tokens_of(engine, shape, family), z = pivots_of(engine, shape, family);
  p.scores.resize(static_cast<size_t>(shape.tokens * shape.pivots));
  for (int64_t i = 0; i < shape.tokens; ++i) {
    for (int64_t j = 0; j < shape.pivots; ++j) {
      float sum = 0;
      for (int64_t d = 0; d < kDim; ++d) sum += x[i * kDim + d] * z[j * kDim + d];
      p.scores[i * shape.pivots + j] = sum / std::sqrt(static_cast<float>(kDim));
    }
  }
  return p;
}

void print_row(const Shape& shape, const Family& family, bool priced, int problems) {
  StepCounts sum;
  int64_t most = 0, unsolved = 0;
  for (int i = 0; i < problems; ++i) {
    std::mt19937 engine(static_cast<unsigned>(7 * i + family.distinct) +
                        static_cast<unsigned>(family.sharpness));
    PricedProblem p = problem_of(engine, shape, family);
    p.price =
        priced ? lotformer::ops::pivot::cuda::newton_price(static_cast<int>(shape.pivots), shape.warps) : 1;
    const StepCounts counts = solve_priced(p);
    sum.passes += counts.passes;
    sum.newton += counts.newton;
    sum.mixed += counts.mixed;
    sum.grams += counts.grams;
    most = std::max(most, counts.passes);
    unsolved += counts.residual > p.tolerance;
  }
  const auto mean = [&](int64_t x) { return static_cast<double>(x) / problems; };
  std::printf("| %s | %s | %s | %.2f | %lld | %.2f | %.2f | %.2f | %lld |\n", shape.task, family.name,
              priced ? "with a price" : "Newton always", mean(sum.passes), static_cast<long long>(most),
              mean(sum.newton), mean(sum.grams), mean(sum.mixed), static_cast<long long>(unsolved));
}

}  // namespace

int main(int count, char** values) {
  const int problems = count > 1 ? std::atoi(values[1]) : 8;
  if (problems < 1) {
    std::fprintf(stderr, "pivot_step_mix [PROBLEMS]: a number from 1\n");
    return 2;
  }
  std::printf("| task | scores | steps | passes | most | Newton | Gram | mixed | unsolved |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Shape& shape :
       {Shape{"listops", 2048, 4, 4}, Shape{"text", 4096, 32, 16}, Shape{"retrieval", 4096, 64, 16},
        Shape{"image", 1024, 8, 4}, Shape{"pathfinder", 1024, 64, 16}}) {
    for (const Family& family :
         {Family{"1 epsilon", 1, 0}, Family{"10 epsilon", 10, 0}, Family{"3 epsilon, 16 tokens", 3, 16},
          Family{"10 epsilon, 16 tokens", 10, 16}}) {
      for (const bool priced : {false, true}) print_row(shape, family, priced, problems);
    }
  }
}
