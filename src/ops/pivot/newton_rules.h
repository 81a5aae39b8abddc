// SPDX-License-Identifier: MIT
// What the CPU and the CUDA core decide alike when they solve for the pivot potentials: which trial is
// accepted, how the damping moves, when a problem is over and at which point it ends. Plain scalars, for host
// and device; no other header, because every core includes this one. The definition in words is
// aten/solver.h; aten/solver.cpp states the same rules a second time, on tensors, and is the oracle.
//
// A core brings two types: T of the tokens, whose rounding sets the limits, and F in which it counts its
// scalars. And a unit, in which its potentials, their steps and the dual are: natural logarithms (CPU) or
// powers of two (CUDA).
#pragma once

// Functions have internal linkage: the CPU core is compiled for several instruction sets, and none may be
// merged with another's.
#if defined(__CUDACC__)
#define PIVOT_RULE static __host__ __device__ __forceinline__
#define PIVOT_RULE_UNROLL _Pragma("unroll")
#else
#define PIVOT_RULE static inline __attribute__((always_inline))
#define PIVOT_RULE_UNROLL
#endif

namespace lotformer::ops::pivot::rules {

constexpr double kLog2e = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;

/// Scores of the published code are clamped to this, before they are divided by epsilon.
constexpr double kPublishedClamp = 50;

/// The published clamp as the cores apply it: to scores divided by epsilon, in powers of two.
PIVOT_RULE double published_bound(double epsilon) {
  return kPublishedClamp / epsilon * kLog2e;
}

struct NaturalLogarithms {
  static constexpr double kPerNat = 1;
};
struct PowersOfTwo {
  static constexpr double kPerNat = kLog2e;
};

/// What the type of the tokens allows; differences of the dual are in natural logarithms.
template <class T>
struct Precision;
template <>
struct Precision<float> {
  static constexpr double kEpsilon = 1.1920929e-07;
  /// Keeps a logarithm finite where a pivot has received no mass.
  static constexpr double kTiny = 1e-30;
  /// Added to the diagonal of a matrix scaled to unit diagonal.
  static constexpr double kJitter = 1e-6;
  /// The smallest 1 - theta that still has a meaning.
  static constexpr double kLeastDamping = 1e-5;
  /// Smaller differences of the dual are rounding.
  static constexpr double kDualNoise = 1e-6;
};
template <>
struct Precision<double> {
  static constexpr double kEpsilon = 2.220446049250313e-16;
  static constexpr double kTiny = 1e-290;
  static constexpr double kJitter = 1e-14;
  static constexpr double kLeastDamping = 1e-12;
  static constexpr double kDualNoise = 1e-14;
};

/// The numbers of the rules in a core's unit. Nothing else converts between units.
template <class T, class Unit, class F>
struct Limits {
  using Number = F;
  /// A longer Newton step of a component says that the quadratic model has failed there. It would starve a
  /// pivot below the smallest exponent, from where it comes back by as much a pass.
  static constexpr F kLongestStep = static_cast<F>(40 * Unit::kPerNat);
  static constexpr F kDualNoise = static_cast<F>(Precision<T>::kDualNoise * Unit::kPerNat);
  static constexpr F kLeastDamping = static_cast<F>(Precision<T>::kLeastDamping);
  /// h itself carries a relative error of machine epsilon, and c follows it.
  static constexpr F kFloor = static_cast<F>(4 * Precision<T>::kEpsilon);
  /// One of the unit in natural logarithms.
  static constexpr F kNats = static_cast<F>(1 / Unit::kPerNat);
};

/// What the steps behind leave for those ahead. No members but numbers, so that it can stand in shared
/// memory.
template <class F>
struct Course {
  /// The smallest residual of an accepted point.
  F best;
  /// 1 - theta: 0 is Newton's step, 1 Sinkhorn's.
  F omega;
  /// Rejected trials in a row.
  int failures;
  /// The next step is a Sinkhorn step.
  int sinkhorn;
};

/// An evaluated trial beside the accepted point it came from.
template <class F>
struct Trial {
  F residual;
  /// What the dual gained, and what a Sinkhorn step was sure to add to it.
  F gained, sure;
  /// It was a Sinkhorn step, by plan or because Newton's system was not solved.
  bool sinkhorn;
};

/// Rejected Newton trials would not pay for themselves: all steps are Sinkhorn steps. `tokens` counts as many
/// as weigh alike.
template <class F, class Count>
PIVOT_RULE bool sinkhorn_only(Count max_passes, F tokens, Count pivots) {
  return max_passes < 4 || (max_passes < 16 && tokens < static_cast<F>(8 * pivots));
}

/// After the first evaluation. A cold start begins with a Sinkhorn step.
template <class F>
PIVOT_RULE Course<F> first_course(F residual, bool cold) {
  return {residual, static_cast<F>(0.1), 0, cold ? 1 : 0};
}

/// False for NaN: such a problem is over.
template <class F>
PIVOT_RULE bool unsolved(F residual, F tolerance) {
  return residual > tolerance;
}

/// theta of the next Newton step.
template <class L>
PIVOT_RULE typename L::Number theta(typename L::Number omega) {
  return 1 - (omega > L::kLeastDamping ? omega : L::kLeastDamping);
}

/// A component of a Newton step x with c . x = 0.
template <class L>
PIVOT_RULE typename L::Number bounded(typename L::Number x) {
  const typename L::Number below = x < L::kLongestStep ? x : L::kLongestStep;
  return below > -L::kLongestStep ? below : -L::kLongestStep;
}

/// `residual` is that of the accepted point.
template <class L>
PIVOT_RULE bool accepts(const Course<typename L::Number>& course, const Trial<typename L::Number>& trial,
                        typename L::Number residual, typename L::Number tolerance) {
  using F = typename L::Number;
  const bool halved = trial.residual <= static_cast<F>(0.5) * course.best;
  // Where the guaranteed gain of the dual drowns in rounding, the solution is near and a smaller residual
  // says enough.
  const bool gained = trial.sure > L::kDualNoise ? trial.gained >= trial.sure
                                                 : trial.residual <= static_cast<F>(0.99) * residual;
  return trial.sinkhorn || halved || gained || trial.residual <= tolerance;
}

template <class F>
PIVOT_RULE void note_accepted(Course<F>& course, const Trial<F>& trial) {
  const F most = static_cast<F>(0.3);
  course.omega =
      trial.sinkhorn ? (course.omega < most ? course.omega : most) : static_cast<F>(0.1) * course.omega;
  course.best = course.best < trial.residual ? course.best : trial.residual;
  course.failures = 0;
  course.sinkhorn = 0;
}

/// A rejected step of the mixed kind says nothing about Newton's damping: a Sinkhorn step from the same
/// point.
template <class F>
PIVOT_RULE void note_mixed_rejected(Course<F>& course) {
  course.sinkhorn = 1;
  ++course.failures;
}

/// More damping; where none is left to add, back to a Sinkhorn step.
template <class F>
PIVOT_RULE void note_rejected(Course<F>& course) {
  const F least = static_cast<F>(1e-3);
  course.omega = 10 * (course.omega > least ? course.omega : least);
  course.sinkhorn = course.omega >= 1 ? 1 : 0;
  if (course.sinkhorn) course.omega = static_cast<F>(0.3);
  ++course.failures;
}

/// The floor of the precision is reached: two trials in a row without progress there. `residual` and
/// `highest`, the largest |h|, are those of the accepted point.
template <class L>
PIVOT_RULE bool stalled(const Course<typename L::Number>& course, typename L::Number residual,
                        typename L::Number highest) {
  return course.failures >= 2 && residual <= L::kFloor * (1 + L::kNats * highest);
}

/// Of the residual of a point and the smallest so far: a problem ends at the point of its smallest residual,
/// accepted or not.
template <class F>
PIVOT_RULE bool lowers(F residual, F lowest) {
  return residual < lowest;
}

// What a step costs. `price`: what a Newton step costs in Sinkhorn steps, each with the pass behind it. At 1
// all steps behind the first are Newton steps, as long as they succeed: the rule of the CPU core, whose
// passes form the Gram matrix on the way. Above 1 steps that need no r x r system take their place as long as
// they are foreseen to be cheaper: *mixed* steps, Sinkhorn steps that are extrapolated (Anderson mixing) over
// the last few of them.

/// Differences of points that a mixed step makes use of.
constexpr int kMixed = 3;

/// The mixed step from h with Sinkhorn step g is g - sum_a w_a (dh_a + dg_a), with the weights that make
/// |g - sum_a w_a dg_a| smallest; dh, dg: differences to the point before, the newest first. `products`:
/// dg_a . dg_b on and above the diagonal, `right`: dg_a . g; both are overwritten. A difference that adds
/// nothing to those before it gets no weight; the ridge keeps rounding from being one.
template <class F>
PIVOT_RULE void mixed_weights(F (&products)[kMixed][kMixed], F (&right)[kMixed], F (&weights)[kMixed]) {
  const F ridge = static_cast<F>(1e-5);
  PIVOT_RULE_UNROLL
  for (int a = 0; a < kMixed; ++a) {
    products[a][a] *= 1 + ridge;
    PIVOT_RULE_UNROLL
    for (int b = 0; b < a; ++b) products[a][b] = products[b][a];
  }
  PIVOT_RULE_UNROLL
  for (int k = 0; k < kMixed; ++k) {
    const F inverse = products[k][k] > 0 ? 1 / products[k][k] : 0;
    PIVOT_RULE_UNROLL
    for (int a = 0; a < kMixed; ++a) {
      if (a == k) continue;
      const F factor = products[a][k] * inverse;
      PIVOT_RULE_UNROLL
      for (int b = k + 1; b < kMixed; ++b) products[a][b] -= factor * products[k][b];
      right[a] -= factor * right[k];
    }
    weights[k] = inverse;
  }
  PIVOT_RULE_UNROLL
  for (int k = 0; k < kMixed; ++k) weights[k] *= right[k];
}

/// How the residual shrinks where no step is Newton's: the factors of the last two steps.
template <class F>
struct Pace {
  F last, before;
  int known;
};

/// Of an accepted Sinkhorn or mixed step: the residual behind it over the one before it. A mixed step is
/// foreseen to do what two Sinkhorn steps do.
template <class F>
PIVOT_RULE void note_pace(Pace<F>& pace, F factor) {
  pace.before = pace.known ? pace.last : factor * factor;
  pace.last = pace.known ? factor : pace.before;
  pace.known = 1;
}

/// Newton's error is squared by a step.
template <class F>
PIVOT_RULE int newton_steps_foreseen(F residual, F tolerance) {
  const F squared = residual * residual;
  return squared <= tolerance ? 1 : squared * squared <= tolerance ? 2 : 3;
}

/// Whether a Newton step from the accepted point is cheaper than the other steps that lead to the tolerance,
/// or these would take more than the passes that are left. The mean factor of two steps is foreseen for those
/// to come.
template <class F>
PIVOT_RULE bool newton_pays(F price, const Pace<F>& pace, F residual, F tolerance, int passes_left) {
  if (!(price > 1)) return true;
  if (!pace.known) return false;
  const F cost = price * static_cast<F>(newton_steps_foreseen(residual, tolerance));
  const F factor = pace.last * pace.before;
  F squared = residual * residual;
  for (int step = 0; step < passes_left && static_cast<F>(step) < cost; ++step) {
    if (squared <= tolerance * tolerance) return false;
    squared *= factor;
  }
  return !(squared <= tolerance * tolerance);
}

}  // namespace lotformer::ops::pivot::rules
