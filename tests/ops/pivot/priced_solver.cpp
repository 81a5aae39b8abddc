// SPDX-License-Identifier: MIT
#include "priced_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/pivot/newton_rules.h"

namespace lotformer::ops::pivot::test {
namespace {

using Vector = std::vector<double>;
using Limits = rules::Limits<float, rules::NaturalLogarithms, double>;

struct Point {
  Vector h, c, gram;
  double dual = 0, residual = 0;
};

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Vector minus(const Vector& a, const Vector& b) {
  Vector result(a);
  for (size_t i = 0; i < a.size(); ++i) result[i] -= b[i];
  return result;
}

class Solver {
 public:
  explicit Solver(const PricedProblem& problem)
      : p_(problem), n_(static_cast<size_t>(p_.tokens)), r_(static_cast<size_t>(p_.pivots)) {
    kernel_.resize(n_ * r_);
    highest_.resize(n_);
    for (size_t i = 0; i < n_; ++i) {
      const float* row = &p_.scores[i * r_];
      highest_[i] = *std::max_element(row, row + r_);
      for (size_t j = 0; j < r_; ++j) kernel_[i * r_ + j] = std::exp(row[j] - highest_[i]);
    }
  }
  StepCounts solve();

 private:
  enum class Step { sinkhorn, mixed, newton };

  void probabilities(const Vector& factors, size_t i, Vector& p, double& sum) const {
    sum = 0;
    for (size_t j = 0; j < r_; ++j) sum += p[j] = kernel_[i * r_ + j] * factors[j];
    for (double& x : p) x /= sum;
  }
  Vector factors(const Vector& h) const {
    Vector result(r_);
    for (size_t j = 0; j < r_; ++j) result[j] = std::exp(h[j]);
    return result;
  }
  void evaluate(Point& x) const;
  void make_gram(Point& x) const;
  bool newton(const Point& x, const Vector& g, double theta, Vector& step) const;
  void mix(const Vector& g, Vector& step) const;
  void remember(const Vector& h, const Vector& g, bool accepted);

  const PricedProblem& p_;
  size_t n_, r_;
  std::vector<float> kernel_, highest_;
  // Differences, the newest first; the point before and its Sinkhorn step.
  std::vector<Vector> dh_, dg_;
  Vector h_before_, g_before_;
};

void Solver::evaluate(Point& x) const {
  const Vector b = factors(x.h);
  Vector p(r_);
  x.c.assign(r_, 0);
  x.gram.clear();
  double log_sums = 0, sum = 0;
  for (size_t i = 0; i < n_; ++i) {
    probabilities(b, i, p, sum);
    log_sums += std::log(sum);
    for (size_t j = 0; j < r_; ++j) x.c[j] += p[j];
  }
  x.residual = 0;
  for (size_t j = 0; j < r_; ++j) x.residual += std::fabs((x.c[j] /= static_cast<double>(n_)) - p_.sigma[j]);
  x.dual = dot(p_.sigma, x.h) - log_sums / static_cast<double>(n_);
}

void Solver::make_gram(Point& x) const {
  const Vector b = factors(x.h);
  Vector p(r_);
  x.gram.assign(r_ * r_, 0);
  double sum = 0;
  for (size_t i = 0; i < n_; ++i) {
    probabilities(b, i, p, sum);
    for (size_t j = 0; j < r_; ++j) {
      for (size_t k = 0; k < r_; ++k) x.gram[j * r_ + k] += p[j] * p[k];
    }
  }
  for (double& g : x.gram) g /= static_cast<double>(n_);
}

/// Gauss-Jordan elimination as in cuda/system.h.
bool Solver::newton(const Point& x, const Vector& g, double theta, Vector& step) const {
  Vector root(r_), m(r_ * r_), y(r_);
  const double sum = dot(x.c, g);
  for (size_t j = 0; j < r_; ++j) root[j] = std::sqrt(std::max(x.c[j], rules::Precision<float>::kTiny));
  for (size_t i = 0; i < r_; ++i) {
    for (size_t j = 0; j < r_; ++j) {
      m[i * r_ + j] = theta * (root[i] * root[j] - x.gram[i * r_ + j] / root[i] / root[j]) +
                      (i == j ? 1 + rules::Precision<float>::kJitter : 0);
    }
    y[i] = x.c[i] * (g[i] - sum) / root[i];
  }
  for (size_t k = 0; k < r_; ++k) {
    if (!(m[k * r_ + k] > 0)) return false;
    for (size_t i = 0; i < r_; ++i) {
      if (i == k) continue;
      const double factor = m[i * r_ + k] / m[k * r_ + k];
      for (size_t j = k; j < r_; ++j) m[i * r_ + j] -= factor * m[k * r_ + j];
      y[i] -= factor * y[k];
    }
  }
  for (size_t j = 0; j < r_; ++j) step[j] = y[j] / m[j * r_ + j] / root[j];
  const double constant = dot(x.c, step);
  for (double& s : step) s = rules::bounded<Limits>(s - constant);
  return true;
}

void Solver::mix(const Vector& g, Vector& step) const {
  constexpr int kMixed = rules::kMixed;
  double products[kMixed][kMixed] = {}, right[kMixed] = {}, weights[kMixed];
  for (size_t a = 0; a < dg_.size(); ++a) {
    for (size_t b = a; b < dg_.size(); ++b) products[a][b] = dot(dg_[a], dg_[b]);
    right[a] = dot(dg_[a], g);
  }
  rules::mixed_weights(products, right, weights);
  for (size_t a = 0; a < dg_.size(); ++a) {
    for (size_t j = 0; j < r_; ++j) step[j] -= weights[a] * (dh_[a][j] + dg_[a][j]);
  }
  for (double& s : step) s = rules::bounded<Limits>(s);
}

void Solver::remember(const Vector& h, const Vector& g, bool accepted) {
  if (!accepted) {
    dh_.clear();
    dg_.clear();
  } else if (!h_before_.empty()) {
    dh_.insert(dh_.begin(), minus(h, h_before_));
    dg_.insert(dg_.begin(), minus(g, g_before_));
    if (dh_.size() > rules::kMixed) {
      dh_.pop_back();
      dg_.pop_back();
    }
  }
  h_before_ = h;
  g_before_ = g;
}

StepCounts Solver::solve() {
  StepCounts counts;
  Point now, trial;
  now.h.assign(r_, 0);
  evaluate(now);
  counts.passes = 1;
  double lowest = now.residual;
  rules::Course<double> course = rules::first_course(now.residual, /*cold=*/true);
  rules::Pace<double> pace{};
  bool accepted = true;
  const bool plain = rules::sinkhorn_only(p_.max_passes, static_cast<double>(n_), p_.pivots);
  while (rules::unsolved(now.residual, p_.tolerance) && counts.passes < p_.max_passes) {
    Vector g(r_);
    for (size_t j = 0; j < r_; ++j)
      g[j] = std::log(p_.sigma[j]) - std::log(std::max(now.c[j], rules::Precision<float>::kTiny));
    const double sure = dot(p_.sigma, g);
    Step kind = Step::sinkhorn;
    if (!course.sinkhorn && !plain) {
      const bool pays =
          course.failures > 0 || rules::newton_pays(p_.price, pace, now.residual, p_.tolerance,
                                                    static_cast<int>(p_.max_passes - counts.passes));
      kind = pays ? Step::newton : Step::mixed;
    }
    Vector step = g;
    if (kind == Step::newton) {
      h_before_.clear();
      dh_.clear();
      dg_.clear();
      if (now.gram.empty()) {
        make_gram(now);
        ++counts.grams;
      }
      if (!newton(now, g, rules::theta<Limits>(course.omega), step)) {
        kind = Step::sinkhorn;
        step = g;
      }
    } else {
      remember(now.h, g, accepted);
      if (dh_.empty()) kind = Step::sinkhorn;
      if (kind == Step::mixed) mix(g, step);
    }
    counts.newton += kind == Step::newton;
    counts.mixed += kind == Step::mixed;
    double mean = 0;
    trial.h = now.h;
    for (size_t j = 0; j < r_; ++j) mean += (trial.h[j] += step[j]) / static_cast<double>(r_);
    for (double& h : trial.h) h -= mean;
    evaluate(trial);
    ++counts.passes;
    lowest = std::min(lowest, trial.residual);
    rules::Trial<double> told{trial.residual, trial.dual - now.dual, sure, kind == Step::sinkhorn};
    accepted = rules::accepts<Limits>(course, told, now.residual, p_.tolerance);
    told.sinkhorn = kind != Step::newton;
    if (accepted) {
      rules::note_accepted(course, told);
      if (kind != Step::newton) rules::note_pace(pace, trial.residual / now.residual);
      std::swap(now, trial);
    } else if (kind == Step::newton) {
      rules::note_rejected(course);
    } else {
      rules::note_mixed_rejected(course);
    }
    double highest = 0;
    for (double h : now.h) highest = std::max(highest, std::fabs(h));
    if (rules::stalled<Limits>(course, now.residual, highest)) break;
  }
  counts.residual = lowest;
  return counts;
}

}  // namespace

StepCounts solve_priced(const PricedProblem& problem) {
  return Solver(problem).solve();
}

}  // namespace lotformer::ops::pivot::test
