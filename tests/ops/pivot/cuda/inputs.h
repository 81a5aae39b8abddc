// SPDX-License-Identifier: MIT
// Random calls, and comparisons that name the worst place.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "emulated_call.h"

namespace lotformer::ops::pivot::cuda::test {

struct Shape {
  int64_t batch, heads, tokens, pivots, head_dim;
};

/// Normal inputs; scores have a standard deviation of `sharpness` times epsilon; masses spread by about a
/// third (equal in mode reference).
inline Inputs random_inputs(const Shape& shape, Mode mode, double sharpness, bool bf16, unsigned seed = 7) {
  Inputs in;
  in.batch = shape.batch;
  in.heads = shape.heads;
  in.tokens = shape.tokens;
  in.pivots = shape.pivots;
  in.head_dim = shape.head_dim;
  in.mode = mode;
  in.bf16 = bf16;
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  for (std::vector<float>* x : {&in.q, &in.k, &in.v, &in.d_out}) {
    x->resize(shape.batch * shape.heads * shape.tokens * shape.head_dim);
    for (float& value : *x) value = normal(engine);
  }
  in.z.resize(shape.heads * shape.pivots * shape.head_dim);
  for (float& value : in.z) value = normal(engine) * static_cast<float>(sharpness * in.epsilon);
  in.sigma.resize(shape.heads * shape.pivots);
  for (int64_t h = 0; h < shape.heads; ++h) {
    float sum = 0;
    float* row = &in.sigma[h * shape.pivots];
    for (int64_t j = 0; j < shape.pivots; ++j)
      sum += row[j] = mode == Mode::reference ? 1.0f : std::exp(0.3f * normal(engine));
    for (int64_t j = 0; j < shape.pivots; ++j) row[j] /= sum;
  }
  return in;
}

/// Masses of the tokens of one side: log masses normal with standard deviation `spread`; what stands at
/// padding is not a number.
inline void spread_masses(Inputs& in, int side, double spread, unsigned seed = 5) {
  std::mt19937 engine(seed + static_cast<unsigned>(side));
  std::normal_distribution<double> normal;
  in.masses[side].assign(in.batch * in.heads * in.tokens, std::numeric_limits<float>::quiet_NaN());
  for (int64_t problem = 0; problem < in.batch * in.heads; ++problem) {
    const int64_t real = in.lengths.empty() ? in.tokens : in.lengths[problem / in.heads];
    std::vector<double> row(real);
    double sum = 0;
    for (double& mass : row) sum += mass = std::exp(spread * normal(engine));
    for (int64_t i = 0; i < real; ++i)
      in.masses[side][problem * in.tokens + i] = static_cast<float>(row[i] / sum);
  }
}

/// Gives every token the same score, `depth` below 0 in units of epsilon, with the last pivot of each head:
/// its column starves.
inline void starve_last_pivot(Inputs& in, double depth) {
  for (std::vector<float>* x : {&in.q, &in.k}) {
    for (size_t i = 0; i < x->size(); i += in.head_dim) (*x)[i] = 1;
  }
  for (int64_t h = 0; h < in.heads; ++h) {
    float* z = &in.z[((h + 1) * in.pivots - 1) * in.head_dim];
    for (int64_t c = 0; c < in.head_dim; ++c) z[c] = 0;
    z[0] = static_cast<float>(-depth * in.epsilon * std::sqrt(static_cast<double>(in.head_dim)));
  }
}

/// "" when every |actual - expected| is within `tolerance`; else the worst. NaN never passes.
template <class A, class B>
std::string difference(const A& actual, const B& expected, double tolerance) {
  std::ostringstream out;
  if (actual.size() != expected.size()) {
    out << "size " << actual.size() << ", expected " << expected.size();
    return out.str();
  }
  double worst = 0;
  size_t place = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double gap = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (gap <= worst) continue;  // false for NaN
    worst = std::isnan(gap) ? HUGE_VAL : gap;
    place = i;
  }
  if (worst <= tolerance) return "";
  out << "error " << worst << " > " << tolerance << " at " << place << ": got " << actual[place]
      << ", expected " << expected[place];
  return out.str();
}

template <class T>
double largest(const std::vector<T>& x) {
  double result = 0;
  for (T value : x) result = std::max(result, std::abs(static_cast<double>(value)));
  return result;
}

}  // namespace lotformer::ops::pivot::cuda::test
