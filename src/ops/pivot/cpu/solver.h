// SPDX-License-Identifier: MIT
// The safeguarded Newton iteration of aten/solver.h for one problem, in double whatever the tokens are; its
// decisions are those of
// ../newton_rules.h. Only for core.inl.
#pragma once

#include "pivot_system.h"
#include "sweep.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// h, c(h), G(h), D(h) and what is measured there.
struct Point {
  double *potentials, *marginal, *gram;
  double dual, residual;
  bool has_gram;
};

struct SolverOptions {
  double tolerance;
  int64_t max_passes;
  bool newton_first;  // the start is a good one
  bool sinkhorn_only = false;
};

/// One problem's solver: scratch and the iteration.
template <class T>
class Solver {
 public:
  using P = Precision<T>;
  using Limits = rules::Limits<T, rules::NaturalLogarithms, double>;

  static std::size_t bytes(int64_t r) {
    using A = Arena;
    return 3 * A::bytes<double>(r * r) + 13 * A::bytes<double>(r) + A::bytes<T>(r);
  }
  Solver(const Shape<T>& shape, Arena& arena) : shape_(shape), r_(shape.r) {
    for (Point* point : {&now_, &trial_}) {
      point->potentials = arena.take<double>(r_);
      point->marginal = arena.take<double>(r_);
      point->gram = arena.take<double>(r_ * r_);
    }
    best_.potentials = arena.take<double>(r_);
    best_.marginal = arena.take<double>(r_);
    matrix_ = arena.take<double>(r_ * r_);
    for (double** row : {&root_, &log_ratio_, &rhs_, &step_, &target_, &log_sigma_, &sigma_})
      *row = arena.take<double>(r_);
    bias_ = arena.take<T>(r_);
  }

  void set_masses(const T* sigma, double kappa) {
    kappa_ = kappa;
    for (int64_t j = 0; j < r_; ++j) {
      sigma_[j] = static_cast<double>(sigma[j]);
      log_sigma_[j] = __builtin_log(larger(sigma_[j], P::kTiny));
    }
  }
  void start_from_zero() {
    for (int64_t j = 0; j < r_; ++j) now_.potentials[j] = 0;
  }

  /// From the potentials of `point()`; returns the number of passes.
  int64_t solve(const Side<T>& side, const SolverOptions& options, Workers<T>& workers);
  /// The accepted point. Its G may be missing: the caller's next sweep can form it on the way.
  const Point& point() const { return now_; }
  Point& point() { return now_; }
  double* matrix() { return matrix_; }
  double* row(int which) { return which == 0 ? root_ : which == 1 ? rhs_ : step_; }

 private:
  void evaluate(const Side<T>& side, Workers<T>& workers, bool with_gram, Point& point);
  /// b of the point, and its logarithm's distance to c; the gain of the dual that a Sinkhorn step is sure of.
  double compare(const Point& point);
  bool newton_step(double theta);
  void make_trial(bool sinkhorn);
  void note_best(const Point& point);
  void return_to_best();

  Shape<T> shape_;
  int64_t r_;
  double kappa_ = 0;
  Point now_, trial_;
  Point best_{};  // the smallest residual of all passes, without G
  double *matrix_, *root_, *log_ratio_, *rhs_, *step_, *target_, *log_sigma_, *sigma_;
  T* bias_;
};

/// Potentials are numbers of type T: whoever evaluates p later gets the same.
template <class T>
inline void round_potentials(double* h, int64_t r) {
  for (int64_t j = 0; j < r; ++j) h[j] = static_cast<double>(static_cast<T>(h[j]));
}

template <class T>
inline void bias_of(const double* h, int64_t r, T* bias) {
  for (int64_t j = 0; j < r; ++j) bias[j] = static_cast<T>(h[j] * kLog2e);
}

template <class T>
inline void Solver<T>::evaluate(const Side<T>& side, Workers<T>& workers, bool with_gram, Point& point) {
  bias_of(point.potentials, r_, bias_);
  PassSums sums{point.marginal, point.gram, 0};
  pass(side, shape_, bias_, with_gram, workers, sums);
  point.has_gram = with_gram;
  double linear = 0, mass = 0, lowest = 0;  // sigma.h, or -(1/kappa) log sum sigma exp(-kappa h)
  if (kappa_ == 0) {
    for (int64_t j = 0; j < r_; ++j) {
      linear += sigma_[j] * point.potentials[j];
      target_[j] = sigma_[j];
    }
  } else {
    for (int64_t j = 0; j < r_; ++j)
      lowest = j == 0 ? point.potentials[0] : smaller(lowest, point.potentials[j]);
    for (int64_t j = 0; j < r_; ++j) {
      target_[j] = sigma_[j] * __builtin_exp(-kappa_ * (point.potentials[j] - lowest));
      mass += target_[j];
    }
    for (int64_t j = 0; j < r_; ++j) target_[j] /= mass;
    linear = lowest - __builtin_log(mass) / kappa_;
  }
  point.dual = linear - sums.normaliser * kLn2;
  point.residual = 0;
  for (int64_t j = 0; j < r_; ++j) point.residual += __builtin_fabs(point.marginal[j] - target_[j]);
}

template <class T>
inline double Solver<T>::compare(const Point& point) {
  double mass = 0, lowest = 0;
  if (kappa_ != 0) {
    for (int64_t j = 0; j < r_; ++j)
      lowest = j == 0 ? point.potentials[0] : smaller(lowest, point.potentials[j]);
    for (int64_t j = 0; j < r_; ++j)
      mass += sigma_[j] * __builtin_exp(-kappa_ * (point.potentials[j] - lowest));
  }
  const double log_mass = kappa_ == 0 ? 0 : __builtin_log(mass);
  double gain = 0;  // held: KL(sigma || c); relaxed: docs/lotformer.md
  for (int64_t j = 0; j < r_; ++j) {
    const double shift = kappa_ == 0 ? 0 : kappa_ * (point.potentials[j] - lowest) + log_mass;
    const double log_target = log_sigma_[j] - shift;
    log_ratio_[j] = log_target - __builtin_log(larger(point.marginal[j], P::kTiny));
    gain += kappa_ == 0 ? sigma_[j] * log_ratio_[j]
                        : __builtin_exp(log_target) * __builtin_expm1(-kappa_ / (1 + kappa_) * log_ratio_[j]);
  }
  if (kappa_ != 0) gain = -(1 + kappa_) / kappa_ * __builtin_log1p(gain);
  return gain;
}

template <class T>
inline bool Solver<T>::newton_step(double theta) {
  for (int64_t j = 0; j < r_; ++j) rhs_[j] = now_.marginal[j] * log_ratio_[j];
  if (!solve_system(now_.marginal, now_.gram, rhs_, theta, kappa_, P::kJitter, P::kTiny, r_, matrix_, root_,
                    step_))
    return false;
  for (int64_t j = 0; j < r_; ++j) step_[j] = rules::bounded<Limits>(step_[j]);
  return true;
}

template <class T>
inline void Solver<T>::make_trial(bool sinkhorn) {
  double mean = 0;
  for (int64_t j = 0; j < r_; ++j) {
    trial_.potentials[j] = now_.potentials[j] + (sinkhorn ? log_ratio_[j] / (1 + kappa_) : step_[j]);
    mean += trial_.potentials[j];
  }
  mean /= static_cast<double>(r_);
  for (int64_t j = 0; j < r_; ++j) trial_.potentials[j] -= mean;
  round_potentials<T>(trial_.potentials, r_);
}

template <class T>
inline void Solver<T>::note_best(const Point& point) {
  if (!rules::lowers(point.residual, best_.residual)) return;
  std::memcpy(best_.potentials, point.potentials, sizeof(double) * r_);
  std::memcpy(best_.marginal, point.marginal, sizeof(double) * r_);
  best_.dual = point.dual;
  best_.residual = point.residual;
}

template <class T>
inline void Solver<T>::return_to_best() {
  if (!rules::lowers(best_.residual, now_.residual)) return;
  std::memcpy(now_.potentials, best_.potentials, sizeof(double) * r_);
  std::memcpy(now_.marginal, best_.marginal, sizeof(double) * r_);
  now_.dual = best_.dual;
  now_.residual = best_.residual;
  now_.has_gram = false;
}

template <class T>
inline int64_t Solver<T>::solve(const Side<T>& side, const SolverOptions& options, Workers<T>& workers) {
  const bool cold = !options.newton_first;
  evaluate(side, workers, !cold, now_);  // a Sinkhorn step does not look at G
  int64_t passes = 1;
  rules::Course<double> course = rules::first_course(now_.residual, cold);
  best_.residual = __builtin_inf();
  note_best(now_);
  while (rules::unsolved(now_.residual, options.tolerance) && passes < options.max_passes) {
    const double sure = compare(now_);
    const bool sinkhorn =
        course.sinkhorn || options.sinkhorn_only || !newton_step(rules::theta<Limits>(course.omega));
    make_trial(sinkhorn);
    evaluate(side, workers, true, trial_);
    ++passes;
    note_best(trial_);
    const rules::Trial<double> trial{trial_.residual, trial_.dual - now_.dual, sure, sinkhorn};
    if (rules::accepts<Limits>(course, trial, now_.residual, options.tolerance)) {
      rules::note_accepted(course, trial);
      const Point left = now_;
      now_ = trial_;
      trial_ = left;
    } else {
      rules::note_rejected(course);
    }
    double highest = 0;
    for (int64_t j = 0; j < r_; ++j) highest = larger(highest, __builtin_fabs(now_.potentials[j]));
    if (rules::stalled<Limits>(course, now_.residual, highest)) break;
  }
  return_to_best();
  return passes;
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
