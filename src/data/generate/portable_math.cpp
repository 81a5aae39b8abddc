// SPDX-License-Identifier: MIT
#include "data/generate/portable_math.h"

#include <cmath>

namespace lotformer::data::portable {
namespace {

constexpr double kTwoPi = 6.283185307179586476925;

double sin_taylor(double x) {  // |x| <= pi/4
  double term = x, sum = x;
  for (int k = 2; k <= 18; k += 2) {
    term *= -x * x / static_cast<double>(k * (k + 1));
    sum += term;
  }
  return sum;
}

double cos_taylor(double x) {
  double term = 1, sum = 1;
  for (int k = 1; k <= 19; k += 2) {
    term *= -x * x / static_cast<double>(k * (k + 1));
    sum += term;
  }
  return sum;
}

}  // namespace

double sin_turns(double turns) {
  const double fraction = turns - std::floor(turns);      // [0, 1)
  const double quarter = std::floor(fraction * 4 + 0.5);  // 0..4
  const double x = kTwoPi * (fraction - quarter / 4);     // [-pi/4, pi/4]
  switch (static_cast<int>(quarter) % 4) {
    case 0:
      return sin_taylor(x);
    case 1:
      return cos_taylor(x);
    case 2:
      return -sin_taylor(x);
    default:
      return -cos_taylor(x);
  }
}

double exp(double x) {
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // upper bits: k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double k = std::floor(x / (kLn2High + kLn2Low) + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double term = 1, sum = 1;
  for (int i = 1; i <= 18; ++i) {
    term *= r / i;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(k));
}

double normal(Rng& rng) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += rng.uniform();
  return sum;
}

}  // namespace lotformer::data::portable
