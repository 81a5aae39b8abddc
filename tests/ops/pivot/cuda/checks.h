// SPDX-License-Identifier: MIT
// A call on the emulator against the definition in float64, gradients against finite differences of it.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "inputs.h"
#include "oracle.h"
#include "support/catch.h"

namespace lotformer::ops::pivot::cuda::test {

inline const char* name_of(Mode mode) {
  return mode == Mode::exact ? "exact" : mode == Mode::truncated ? "truncated" : "reference";
}

/// What float32 and a residual of 1e-6 leave, relative to the largest entry; bf16: its own rounding of
/// results.
struct Tolerance {
  double out, gradient;
};
inline Tolerance tolerance_of(const Inputs& in) {
  return in.bf16 ? Tolerance{6e-3, 1e-2} : Tolerance{1e-4, 4e-4};
}

inline void check_output(const Inputs& in, const Results& got) {
  const std::vector<double> expected = Exact(in).output();
  CHECK(difference(got.out, expected, tolerance_of(in).out * largest(expected)) == "");
}

/// Compares `got` with the central difference along a random direction, and along single entries.
inline void check_gradient(Exact& e, std::vector<double>& x, const std::vector<float>& got, double tolerance,
                           const std::string& what) {
  const std::vector<double> kept = x;
  std::mt19937 engine(11);
  std::normal_distribution<double> normal;
  std::vector<double> direction(x.size());
  double size = 0, along = 0, norm = 0;
  const bool of_tokens = what == "masses of the tokens";
  const int64_t masses = what == "sigma" ? e.shape.pivots : of_tokens ? e.shape.tokens : 0;
  for (double& d : direction) d = normal(engine);
  for (size_t i = 0; what == "kappa" && i < x.size(); ++i) {  // a marginal that is held or free stays so
    if (x[i] == 0 || std::isinf(x[i])) direction[i] = 0;
  }
  for (size_t i = 0; masses && i < x.size(); i += masses) {  // masses move inside their simplex
    const int64_t problem = static_cast<int64_t>(i) / masses;
    const int64_t real =
        of_tokens && !e.shape.lengths.empty() ? e.shape.lengths[problem / e.shape.heads] : masses;
    double mean = 0;
    for (int64_t j = 0; j < real; ++j) mean += direction[i + j] / static_cast<double>(real);
    for (int64_t j = 0; j < masses; ++j)
      direction[i + j] = j < real ? (direction[i + j] - mean) * 0.1 / static_cast<double>(real) : 0;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    along += direction[i] * got[i];
    norm += direction[i] * direction[i];
    size += static_cast<double>(got[i]) * got[i];
  }
  const double step = 1e-5;
  const auto loss_at = [&](double t) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = kept[i] + t * direction[i];
    const double loss = e.loss();
    x = kept;
    return loss;
  };
  const double expected = (loss_at(step) - loss_at(-step)) / (2 * step);
  INFO(what << ": along a direction " << along << ", finite difference " << expected);
  // The second term: rounding of the difference quotient, where the gradient vanishes.
  CHECK(std::abs(along - expected) <= (tolerance * std::sqrt(size) + 1e-6) * std::sqrt(norm));
}

inline void check_gradients(const Inputs& in, const Results& got) {
  Exact e(in);
  const double tolerance = tolerance_of(in).gradient;
  check_gradient(e, e.q, got.d_q, tolerance, "q");
  check_gradient(e, e.k, got.d_k, tolerance, "k");
  check_gradient(e, e.v, got.d_v, tolerance, "v");
  check_gradient(e, e.z, got.d_z, tolerance, "pivots");
  if (in.mode != Mode::reference && in.pivots > 1)
    check_gradient(e, e.sigma, got.d_sigma, tolerance, "sigma");
  if (!in.kappa.empty()) check_gradient(e, e.kappa, got.d_kappa, tolerance, "kappa");
  for (int side = 0; side < 2; ++side) {
    if (!in.masses[side].empty())
      check_gradient(e, e.masses[side], got.d_masses[side], tolerance, "masses of the tokens");
  }
}

inline void check_padding_is_zero(const Inputs& in, const Results& got) {
  if (in.lengths.empty() || in.mode == Mode::reference) return;
  for (const std::vector<float>* x : {&got.out, &got.d_q, &got.d_k, &got.d_v}) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < static_cast<int64_t>(x->size()); ++i) {
      const int64_t row = i / in.head_dim, b = row / in.tokens / in.heads;
      if (row % in.tokens >= in.lengths[b] && !((*x)[i] == 0)) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

using Change = void (*)(Plan&);
inline void two_ctas(Plan& plan) {
  plan.cluster = plan.resident >= 0 ? 2 : 1;
  plan.stream_cluster = 2;
}
inline void streamed(Plan& plan) {
  plan.resident = -1;
  plan.stream_cluster = 1;
}

inline Results both_orders(const Inputs& in, Change change, const Device& device = kLargeDevice) {
  const Results forward = run_emulated(in, device, change);
  lotformer::emulator::settings().order = lotformer::emulator::Order::reverse;
  const Results reverse = run_emulated(in, device, change);
  lotformer::emulator::settings() = {};
  CHECK(same_bits(forward, reverse));
  return forward;
}

}  // namespace lotformer::ops::pivot::cuda::test
