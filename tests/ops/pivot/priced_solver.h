// SPDX-License-Identifier: MIT
// The rules of newton_rules.h with a price, in double on plain arrays: what the CUDA core's course is
// compared with, and what counts the steps of larger problems than the emulator can do (step_mix.cpp).
#pragma once

#include <cstdint>
#include <vector>

namespace lotformer::ops::pivot::test {

/// One side: scores over epsilon [tokens, pivots] in natural logarithms, masses of the pivots; every token
/// weighs alike, the marginal is held.
struct PricedProblem {
  int64_t tokens = 0, pivots = 0;
  std::vector<float> scores;
  std::vector<double> sigma;
  double tolerance = 1e-4, price = 1;
  int64_t max_passes = 32;
};

struct StepCounts {
  int64_t passes = 0, newton = 0, mixed = 0;
  /// Gram matrices that Newton steps needed.
  int64_t grams = 0;
  double residual = 0;
};

StepCounts solve_priced(const PricedProblem& problem);

}  // namespace lotformer::ops::pivot::test
