// SPDX-License-Identifier: MIT
#include "oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lotformer::ops::pivot::cuda::test {
namespace {

constexpr double kClamp = 50, kSolved = 3e-13;
constexpr int kMostIterations = 20000;

/// One side of a problem: logits [n][r], plan of total mass 1.
class Transport {
 public:
  /// `mass` [n] of the tokens, or null: 1 / n.
  Transport(const Exact& e, const double* x, const double* z, const double* sigma, double kappa,
            const double* mass, int64_t n)
      : n_(n),
        r_(e.shape.pivots),
        sigma_(sigma),
        kappa_(kappa),
        mass_(n, 1 / static_cast<double>(n)),
        a_(n * r_),
        token_(n, 0.0),
        pivot_(r_, 0.0) {
    if (mass) mass_.assign(mass, mass + n);
    const int64_t d = e.shape.head_dim;
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < r_; ++j) {
        double s = 0;
        for (int64_t c = 0; c < d; ++c) s += x[i * d + c] * z[j * d + c];
        s *= scale;
        if (e.shape.mode == Mode::reference) s = std::clamp(s, -kClamp, kClamp);
        a_[i * r_ + j] = s / e.shape.epsilon;
      }
    }
  }
  /// Half-iterations, or until both marginals hold.
  void iterate(bool exact, int64_t half_iterations, bool tokens_first) {
    const int64_t count = exact ? kMostIterations : half_iterations;
    for (int64_t t = 0; t < count; ++t) {
      const double change = ((t % 2 == 0) == tokens_first) ? update_tokens() : update_pivots();
      if (exact && t > 2 && change < kSolved) break;
    }
  }
  double mass(int64_t j) const {
    double sum = 0;
    for (int64_t i = 0; i < n_; ++i) sum += plan(i, j);
    return sum;
  }
  double plan(int64_t i, int64_t j) const { return std::exp(a_[i * r_ + j] + token_[i] + pivot_[j]); }
  double token_mass(int64_t i) const { return mass_[i]; }

 private:
  double update_tokens() {
    double change = 0;
    for (int64_t i = 0; i < n_; ++i) {
      double high = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = 0; j < r_; ++j) high = std::max(high, a_[i * r_ + j] + pivot_[j]);
      for (int64_t j = 0; j < r_; ++j) sum += std::exp(a_[i * r_ + j] + pivot_[j] - high);
      const double next = std::log(mass_[i]) - high - std::log(sum);
      change = std::max(change, std::abs(next - token_[i]));
      token_[i] = next;
    }
    return change;
  }
  /// Held: the pivot marginal becomes sigma. Relaxed: damped by 1 / (1 + kappa), then moved by the constant
  /// with which the masses sigma exp(-kappa h) that are asked for sum to 1, as those of the plan do. Free:
  /// potentials stay 0.
  double update_pivots() {
    double change = 0, asked = 0;
    if (std::isinf(kappa_)) return 0;
    for (int64_t j = 0; j < r_; ++j) {
      double high = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t i = 0; i < n_; ++i) high = std::max(high, a_[i * r_ + j] + token_[i]);
      for (int64_t i = 0; i < n_; ++i) sum += std::exp(a_[i * r_ + j] + token_[i] - high);
      const double next = (std::log(sigma_[j]) - high - std::log(sum)) / (1 + kappa_);
      change = std::max(change, std::abs(next - pivot_[j]));
      pivot_[j] = next;
      asked += sigma_[j] * std::exp(-kappa_ * next);
    }
    for (int64_t j = 0; j < r_ && kappa_ > 0; ++j) pivot_[j] += std::log(asked) / kappa_;
    return change;
  }

  int64_t n_, r_;
  const double* sigma_;
  double kappa_;
  std::vector<double> mass_, a_, token_, pivot_;
};

std::vector<double> widened(const std::vector<float>& x, bool bf16) {
  std::vector<double> result(x.size());
  std::transform(x.begin(), x.end(), result.begin(), [&](float f) { return bf16 ? to_bf16(f) : f; });
  return result;
}

}  // namespace

Exact::Exact(const Inputs& inputs)
    : shape(inputs),
      q(widened(inputs.q, inputs.bf16)),
      k(widened(inputs.k, inputs.bf16)),
      v(widened(inputs.v, inputs.bf16)),
      z(widened(inputs.z, false)),
      sigma(widened(inputs.sigma, false)),
      kappa(widened(inputs.kappa, false)),
      masses{widened(inputs.masses[0], false), widened(inputs.masses[1], false)} {}

std::vector<double> Exact::output() const {
  const int64_t d = shape.head_dim, r = shape.pivots, each = shape.tokens * d;
  std::vector<double> out(q.size(), 0.0);
  const bool reference = shape.mode == Mode::reference;
  for (int64_t problem = 0; problem < shape.batch * shape.heads; ++problem) {
    const int64_t h = problem % shape.heads;
    const int64_t n =
        shape.lengths.empty() || reference ? shape.tokens : shape.lengths[problem / shape.heads];
    const double *zh = &z[h * r * d], *mass = &sigma[h * r];
    const auto relaxation = [&](int64_t side) { return kappa.empty() ? 0.0 : kappa[side * shape.heads + h]; };
    const auto token_masses = [&](int side) {
      return masses[side].empty() ? nullptr : &masses[side][problem * shape.tokens];
    };
    Transport query(*this, &q[problem * each], zh, mass, relaxation(0), token_masses(0), n),
        key(*this, &k[problem * each], zh, mass, relaxation(1), token_masses(1), n);
    query.iterate(shape.mode == Mode::exact, shape.half_iterations, true);
    key.iterate(shape.mode == Mode::exact, shape.half_iterations, false);
    for (int64_t c = 0; c < d; ++c) {
      std::vector<double> pooled(r, 0.0);
      for (int64_t j = 0; j < r; ++j) {
        for (int64_t i = 0; i < n; ++i) pooled[j] += key.plan(i, j) * v[problem * each + i * d + c];
        pooled[j] /= reference ? static_cast<double>(r) : relaxation(1) == 0 ? mass[j] : key.mass(j);
      }
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < r; ++j) sum += query.plan(i, j) * pooled[j];
        out[problem * each + i * d + c] = sum / query.token_mass(i);
      }
    }
  }
  return out;
}

double Exact::loss() const {
  const std::vector<double> out = output();
  double sum = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double g = shape.bf16 ? to_bf16(shape.d_out[i]) : shape.d_out[i];
    if (out[i] != 0) sum += out[i] * g;
  }
  return sum;
}

}  // namespace lotformer::ops::pivot::cuda::test
