// SPDX-License-Identifier: MIT
// T half-iterations a side and their exact gradient (docs/lotformer.md). A side is a series of pivot
// potentials g_0 ... g_s; its plan is
//   a_i p_ij(g_s)             where the last half-iteration was one of tokens,
//   a_i p_ij(g_s) sigma_j / c_j(g_s)   where it was one of pivots.
// Queries start at g_0 = 0; keys at their opening pivot update g_0 = log sigma - logsumexp_k A_kj. Only for
// core.inl.
#pragma once

#include "log_tile.h"
#include "problem.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// Which g_t a side goes through.
struct Course {
  int64_t last;       // s
  bool pivots_last;   // the plan has exact pivot marginals
  bool opening;       // g_0 is the opening update
  bool opening_only;  // T = 1 on the key side: the plan is sigma_j softmax_k(A)
};

inline Course course_of(int side, int64_t half_iterations) {
  const int64_t t = half_iterations;
  if (side == 0) return {(t - 1) / 2, t % 2 == 0, false, false};
  if (t == 1) return {0, true, true, true};
  return {t % 2 == 0 ? t / 2 - 1 : (t - 1) / 2 - 1, t % 2 == 1, true, false};
}

/// What forward and backward calls share: one problem's constants and its two sides.
template <class T>
struct TruncatedSetting {
  TruncatedSetting(const TruncatedForward<T>& forward, const Place& p)
      : call(forward),
        place(p),
        shape(forward.problem.pivots, forward.problem.dim),
        tokens(forward.reference ? forward.problem.tokens : length_of(forward.problem, p)),
        bound(forward.reference ? static_cast<T>(rules::published_bound(forward.problem.epsilon)) : T(0)) {}

  double log_sigma(int64_t j) const {
    return call.reference ? -__builtin_log(static_cast<double>(shape.r))
                          : static_cast<double>(call.problem.sigma[place.head * shape.r + j]);
  }
  /// Divides the summary values: sigma, or with the published normalisation r.
  double gluing(int64_t j) const {
    const double sigma = __builtin_exp(log_sigma(j));
    return call.reference ? static_cast<double>(shape.r) : larger(sigma, Precision<T>::kLeastMass);
  }
  /// g_t and log c(g_t), natural logarithms.
  T* entry(int side, int64_t t) const {
    return call.trajectory +
           (place.of_side(side) * trajectory_length(call.half_iterations) + t) * 2 * shape.r;
  }
  const TruncatedForward<T>& call;
  Place place;
  Shape<T> shape;
  int64_t tokens;
  T bound;
};

/// Biases (base 2) that make tiles of a side's quantities out of scores or of log p.
template <class T>
inline void set_scaled(const T* g, int64_t r, double factor, T* to) {
  for (int64_t j = 0; j < r; ++j) to[j] = static_cast<T>(static_cast<double>(g[j]) * factor);
}

/// log2 of sigma_j / c_j where pivots come last, else 0.
template <class T>
inline void set_plan_shift(const TruncatedSetting<T>& s, int side, const Course& course, T* to) {
  const T* log_c = s.entry(side, course.last) + s.shape.r;
  for (int64_t j = 0; j < s.shape.r; ++j)
    to[j] =
        course.pivots_last ? static_cast<T>((s.log_sigma(j) - static_cast<double>(log_c[j])) * kLog2e) : T(0);
}

/// Adds segments' lanes of (maximum, sum) to a pair of doubles a pivot.
template <class T>
inline void add_columns(const Buffers<T>& b, int64_t r, double* maxima, double* sums) {
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t lane = 0; lane < kLanes<T>; ++lane) {
      const double m = static_cast<double>(b.lanes[j * kLanes<T> + lane]);
      const double sum = static_cast<double>(b.rows[j * kLanes<T> + lane]);
      if (m > maxima[j]) {
        sums[j] *= __builtin_exp2(maxima[j] - m);
        maxima[j] = m;
      }
      sums[j] += sum * __builtin_exp2(m - maxima[j]);
    }
  }
}

/// log sum_k of 2^x over the tokens, natural; x = scores (opening) or log p at g.
template <class T>
inline void column_sums(const TruncatedSetting<T>& s, const T* z, const T* packed, bool opening,
                        const T* bias, const T* zeros, Workers<T>& workers, double* maxima, double* sums,
                        double* result) {
  const int64_t r = s.shape.r, tile_size = s.shape.d * kTile;
  for (int64_t j = 0; j < r; ++j) {
    maxima[j] = kNoMass;
    sums[j] = 0;
  }
  sweep(
      workers, s.tokens,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        for (int64_t i = 0; i < r * kLanes<T>; ++i) {
          b.lanes[i] = static_cast<T>(kNoMass);
          b.rows[i] = 0;
        }
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(s.tokens, tile);
          pivot_scores(z, s.shape.d, packed + tile * tile_size, s.shape, zeros, T(0), b.scores);
          if (!opening) log_softmax_tile(b.scores, bias, s.bound, r, count, b.p);
          add_to_columns(opening ? b.scores : b.p, opening ? s.bound : T(0), r, count, b.lanes, b.rows);
        }
      },
      [&](const Buffers<T>& b) { add_columns(b, r, maxima, sums); });
  for (int64_t j = 0; j < r; ++j) result[j] = (maxima[j] + __builtin_log2(sums[j])) * kLn2;
}

/// Memory of one problem's forward call.
template <class T>
struct TruncatedScratch {
  Arena arena;
  T *z, *packed, *summary, *bias, *shift, *zeros;
  double *maxima, *sums, *result;
  Workers<T> workers;

  static std::size_t bytes(const Shape<T>& s, int64_t tokens, bool side_by_side) {
    using A = Arena;
    return A::bytes<T>(s.r * s.d) + A::bytes<T>(tiles_of(tokens) * s.d * kTile) +
           A::bytes<T>(s.r * s.d_padded) + 3 * A::bytes<T>(s.r) + 3 * A::bytes<double>(s.r) +
           Workers<T>::bytes(s, side_by_side);
  }
  TruncatedScratch(const Executor& executor, const Executor* inside, const Shape<T>& s, int64_t tokens)
      : arena(executor, bytes(s, tokens, inside != nullptr)),
        z(arena.take<T>(s.r * s.d)),
        packed(arena.take<T>(tiles_of(tokens) * s.d * kTile)),
        summary(arena.take<T>(s.r * s.d_padded)),
        bias(arena.take<T>(s.r)),
        shift(arena.take<T>(s.r)),
        zeros(arena.take<T>(s.r)),
        maxima(arena.take<double>(s.r)),
        sums(arena.take<double>(s.r)),
        result(arena.take<double>(s.r)),
        workers(s, inside, arena) {
    std::memset(zeros, 0, sizeof(T) * s.r);
  }
};

template <class T>
class TruncatedProblem {
 public:
  TruncatedProblem(const TruncatedForward<T>& call, const Place& place, const Executor& executor,
                   const Executor* inside)
      : set_(call, place), s_(executor, inside, set_.shape, set_.tokens) {}

  void run() {
    const Problem<T>& problem = set_.call.problem;
    scale_pivots(problem.z + set_.place.head * set_.shape.r * set_.shape.d, set_.shape,
                 logit_scale(problem) * kLog2e, set_.shape.d, s_.z);
    iterate(1, problem.k);
    pool();
    iterate(0, problem.q);
    spread();
    clear_tokens(set_.call.out, set_.place, set_.tokens, problem.tokens, set_.shape.d);
  }

 private:
  void iterate(int side, const View<const T>& x);
  void pool();
  void spread();
  template <class Use, class Add>
  void plan_sweep(int side, const Use& use, const Add& add);

  TruncatedSetting<T> set_;
  TruncatedScratch<T> s_;
};

template <class T>
inline void TruncatedProblem<T>::iterate(int side, const View<const T>& x) {
  const int64_t r = set_.shape.r;
  const Course course = course_of(side, set_.call.half_iterations);
  pack_tokens(at(x, set_.place), x.token, set_.tokens, set_.shape.d, s_.packed);
  T* entry = set_.entry(side, 0);
  std::memset(entry, 0, sizeof(T) * 2 * r * trajectory_length(set_.call.half_iterations));
  if (course.opening) {
    column_sums(set_, s_.z, s_.packed, true, s_.bias, s_.zeros, s_.workers, s_.maxima, s_.sums, s_.result);
    for (int64_t j = 0; j < r; ++j) entry[j] = static_cast<T>(set_.log_sigma(j) - s_.result[j]);
  }
  const double log_tokens = __builtin_log(static_cast<double>(set_.tokens));
  const int64_t evaluations = course.opening_only ? 0 : course.last + (course.pivots_last ? 1 : 0);
  for (int64_t t = 0; t < evaluations; ++t) {
    entry = set_.entry(side, t);
    set_scaled(entry, r, kLog2e, s_.bias);
    column_sums(set_, s_.z, s_.packed, false, s_.bias, s_.zeros, s_.workers, s_.maxima, s_.sums, s_.result);
    for (int64_t j = 0; j < r; ++j) {
      entry[r + j] = static_cast<T>(s_.result[j] - log_tokens);
      if (t < course.last)
        entry[2 * r + j] = static_cast<T>(static_cast<double>(entry[j]) + set_.log_sigma(j) -
                                          static_cast<double>(entry[r + j]));
    }
  }
}

/// The plan over a_i as tiles in b.w.
template <class T>
template <class Use, class Add>
inline void TruncatedProblem<T>::plan_sweep(int side, const Use& use, const Add& add) {
  const int64_t r = set_.shape.r, tile_size = set_.shape.d * kTile;
  const Course course = course_of(side, set_.call.half_iterations);
  const T* entry = set_.entry(side, course.last);
  set_scaled(entry, r, kLog2e, s_.bias);
  if (course.opening_only) {  // n sigma_j softmax_k(A) = n exp(A + g)
    const double log_tokens = __builtin_log(static_cast<double>(set_.tokens));
    for (int64_t j = 0; j < r; ++j)
      s_.shift[j] = static_cast<T>((static_cast<double>(entry[j]) + log_tokens) * kLog2e);
  } else {
    set_plan_shift(set_, side, course, s_.shift);
  }
  sweep(
      s_.workers, set_.tokens,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        b.clear_rows(set_.shape);
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(set_.tokens, tile);
          pivot_scores(s_.z, set_.shape.d, s_.packed + tile * tile_size, set_.shape, s_.zeros, T(0),
                       b.scores);
          if (!course.opening_only) log_softmax_tile(b.scores, s_.bias, set_.bound, r, count, b.p);
          power_tile(course.opening_only ? b.scores : b.p, s_.shift, course.opening_only ? set_.bound : T(0),
                     r, count, b.w);
          use(b, tile * kTile, count);
        }
      },
      add);
}

template <class T>
inline void TruncatedProblem<T>::pool() {
  const int64_t r = set_.shape.r, width = set_.shape.d_padded;
  const View<const T>& v = set_.call.problem.v;
  const T* rows = at(v, set_.place);
  std::memset(s_.summary, 0, sizeof(T) * r * width);
  plan_sweep(
      1,
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        gather_from_tokens(b.w, whole_rows(rows + first * v.token, v.token, count, set_.shape, b.rows_a),
                           count, set_.shape, b.rows);
      },
      [&](const Buffers<T>& b) { add_to(b.rows, r * width, s_.summary); });
  for (int64_t j = 0; j < r; ++j) {
    const T scale = static_cast<T>(1 / (set_.gluing(j) * static_cast<double>(set_.tokens)));
    for (int64_t c = 0; c < width; ++c) s_.summary[j * width + c] *= scale;
  }
  narrow_rows(s_.summary, r, width, set_.shape.d, set_.call.summary + set_.place.index * r * set_.shape.d);
}

template <class T>
inline void TruncatedProblem<T>::spread() {
  const View<T>& out = set_.call.out;
  T* rows = at(out, set_.place);
  plan_sweep(
      0,
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        spread_to_tokens(b.w, s_.summary, count, T(1), set_.shape, rows + first * out.token, out.token,
                         b.rows_a);
      },
      [](const Buffers<T>&) {});
}

template <class T>
void truncated_forward(const TruncatedForward<T>& call, const Executor& executor) {
  const int64_t r = call.problem.pivots, d = call.problem.dim;
  for_each_problem(call.problem, executor, [&](const Place& place, const Executor* inside) {
    if (call.reference || length_of(call.problem, place) > 0)
      return TruncatedProblem<T>(call, place, executor, inside).run();
    clear_tokens(call.out, place, 0, call.problem.tokens, d);
    const int64_t length = trajectory_length(call.half_iterations) * 2 * r;
    for (int side = 0; side < 2; ++side)
      std::memset(call.trajectory + place.of_side(side) * length, 0, sizeof(T) * length);
    std::memset(call.summary + place.index * r * d, 0, sizeof(T) * r * d);
  });
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
