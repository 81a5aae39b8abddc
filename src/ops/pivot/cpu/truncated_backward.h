// SPDX-License-Identifier: MIT
// The exact gradient of T half-iterations, from the stored potentials. With L = sum_ij P_ij w_ij over the
// plan P (in units of a_i), p = p(g_s) and mu_j = a / sigma_j sum_i P_ij w_ij where pivots came last (else 0)
//   dA_ij = P_ij (w_ij - mu_j) - p_ij sum_l P_il (w_il - mu_l),         hbar_s = column sums of dA
//   t = s-1 ... 0:  R_ij = a_i p_ij(g_t) / c_j(g_t),  v_i = sum_l R_il hbar_l
//                   dA_ij -= R_ij hbar_j - p_ij(g_t) v_i,               hbar_t = sum_i p_ij(g_t) v_i
//   keys:           dA_kj -= hbar_0j softmax_k(A)_kj
// R and P are formed from logarithms: c may be far below the range of the type, R and P are not. First the
// hbar, one sweep each, then one sweep for dA. Only for core.inl.
#pragma once

#include "plan_tile.h"
#include "shared_gradients.h"
#include "truncated_forward.h"

namespace lotformer::ops::pivot::cpu {
namespace {

template <class T>
struct TruncatedBackwardScratch {
  Arena arena;
  T *z, *z_rows, *tokens, *upstream, *summary, *mixed, *d_summary, *d_z;
  T *bias, *shift, *ratio_shift, *zeros, *mu, *adjoint, *step, *adjoints;  // [r], the last [s + 1][r]
  double* sums;
  Workers<T> workers;

  static std::size_t bytes(const Shape<T>& s, int64_t n, int64_t length, bool side_by_side) {
    using A = Arena;
    return A::bytes<T>(s.r * s.d) + 5 * A::bytes<T>(s.r * s.d_padded) +
           2 * A::bytes<T>(tiles_of(n) * s.d * kTile) + 7 * A::bytes<T>(s.r) + A::bytes<T>(length * s.r) +
           A::bytes<double>(s.r) + Workers<T>::bytes(s, side_by_side);
  }
  TruncatedBackwardScratch(const Executor& executor, const Executor* inside, const Shape<T>& s, int64_t n,
                           int64_t length)
      : arena(executor, bytes(s, n, length, inside != nullptr)), workers(take(s, n, length), inside, arena) {}

 private:
  const Shape<T>& take(const Shape<T>& s, int64_t n, int64_t length) {
    z = arena.take<T>(s.r * s.d);
    for (T** rows : {&z_rows, &summary, &mixed, &d_summary, &d_z}) *rows = arena.take<T>(s.r * s.d_padded);
    for (T** tiles : {&tokens, &upstream}) *tiles = arena.take<T>(tiles_of(n) * s.d * kTile);
    for (T** row : {&bias, &shift, &ratio_shift, &zeros, &mu, &adjoint, &step}) *row = arena.take<T>(s.r);
    adjoints = arena.take<T>(length * s.r);
    sums = arena.take<double>(s.r);
    std::memset(zeros, 0, sizeof(T) * s.r);
    return s;
  }
};

template <class T>
class TruncatedBackwardProblem {
 public:
  TruncatedBackwardProblem(const TruncatedBackward<T>& call, const Place& place,
                           const SharedGradients<T>& shared, const Executor& executor, const Executor* inside)
      : call_(call),
        set_(call.forward, place),
        shared_(shared),
        r_(set_.shape.r),
        s_(executor, inside, set_.shape, set_.tokens, trajectory_length(call.forward.half_iterations)) {}

  void run();

 private:
  void side(int which, const View<const T>& x, const View<const T>& other, const View<T>& d_x);
  void open_side(int which, const View<const T>& x, const View<const T>& other);
  template <class Use, class Add>
  void sweep_plan(const Use& use, const Add& add);
  void find_mu();
  void last_adjoint(int which);
  void earlier_adjoint(int which, int64_t t);
  void set_step(int which, int64_t t, T* bias, T* ratio_shift, T* adjoint) const;
  void token_gradients(int which, const View<const T>& x, const View<T>& d_x);
  void subtract_step(int which, int64_t t, Buffers<T>& b, int64_t count) const;
  void add_masses(double factor, const double* values);

  const TruncatedBackward<T>& call_;
  TruncatedSetting<T> set_;
  SharedGradients<T> shared_;
  int64_t r_;
  Course course_{};
  TruncatedBackwardScratch<T> s_;
};

template <class T>
inline void TruncatedBackwardProblem<T>::add_masses(double factor, const double* values) {
  T* d_sigma = shared_.sigma + set_.place.index * r_;
  for (int64_t j = 0; j < r_; ++j) d_sigma[j] += static_cast<T>(factor * values[j]);
}

template <class T>
inline void TruncatedBackwardProblem<T>::run() {
  const Problem<T>& problem = set_.call.problem;
  const int64_t d = set_.shape.d, width = set_.shape.d_padded;
  const T* z = problem.z + set_.place.head * r_ * d;
  scale_pivots(z, set_.shape, logit_scale(problem) * kLog2e, d, s_.z);
  scale_pivots(z, set_.shape, logit_scale(problem), width, s_.z_rows);
  widen_rows<T>(set_.call.summary + set_.place.index * r_ * d, r_, d, width, s_.summary);
  std::memset(s_.d_z, 0, sizeof(T) * r_ * width);
  std::memset(s_.d_summary, 0, sizeof(T) * r_ * width);
  std::memset(shared_.sigma + set_.place.index * r_, 0, sizeof(T) * r_);
  std::memcpy(s_.mixed, s_.summary, sizeof(T) * r_ * width);
  side(0, problem.q, call_.gradients.out, call_.gradients.q);
  for (int64_t j = 0; j < r_; ++j) {  // U = Y / sigma: E = a dU / sigma, and sigma's own part
    s_.sums[j] = row_dot(s_.d_summary + j * width, s_.summary + j * width, width);
    const double scale = 1 / (set_.gluing(j) * static_cast<double>(set_.tokens));
    for (int64_t c = 0; c < width; ++c)
      s_.mixed[j * width + c] = static_cast<T>(scale * static_cast<double>(s_.d_summary[j * width + c]));
  }
  add_masses(-1, s_.sums);
  side(1, problem.k, problem.v, call_.gradients.k);
  const double scale = logit_scale(problem);
  for (int64_t j = 0; j < r_; ++j) {
    for (int64_t c = 0; c < d; ++c)
      shared_.z[(set_.place.index * r_ + j) * d + c] =
          static_cast<T>(scale * static_cast<double>(s_.d_z[j * width + c]));
  }
}

template <class T>
inline void TruncatedBackwardProblem<T>::open_side(int which, const View<const T>& x,
                                                   const View<const T>& other) {
  course_ = course_of(which, set_.call.half_iterations);
  pack_tokens(at(x, set_.place), x.token, set_.tokens, set_.shape.d, s_.tokens);
  pack_tokens(at(other, set_.place), other.token, set_.tokens, set_.shape.d, s_.upstream);
  const T* g = set_.entry(which, course_.last);
  set_scaled(g, r_, kLog2e, s_.bias);
  set_plan_shift(set_, which, course_, s_.shift);
  if (course_.opening_only) {
    const double log_tokens = __builtin_log(static_cast<double>(set_.tokens));
    for (int64_t j = 0; j < r_; ++j)
      s_.shift[j] = static_cast<T>((static_cast<double>(g[j]) + log_tokens) * kLog2e);
  }
  std::memset(s_.mu, 0, sizeof(T) * r_);
}

/// use(buffers with scores, log p in p, w, plan in by_token; first token, tokens).
template <class T>
template <class Use, class Add>
inline void TruncatedBackwardProblem<T>::sweep_plan(const Use& use, const Add& add) {
  const int64_t tile_size = set_.shape.d * kTile;
  const bool only = course_.opening_only;
  sweep(
      s_.workers, set_.tokens,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        b.clear_rows(set_.shape);
        b.clear_pivots(r_);
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(set_.tokens, tile);
          pivot_scores(s_.z, set_.shape.d, s_.tokens + tile * tile_size, set_.shape, s_.zeros, T(0),
                       b.scores);
          if (!only) log_softmax_tile(b.scores, s_.bias, set_.bound, r_, count, b.p);
          power_tile(only ? b.scores : b.p, s_.shift, only ? set_.bound : T(0), r_, count, b.by_token);
          pivot_scores(s_.mixed, set_.shape.d_padded, s_.upstream + tile * tile_size, set_.shape, s_.zeros,
                       T(0), b.w);
          use(b, tile * kTile, count);
          b.flush(r_);
        }
      },
      add);
}

/// mu, and the part of log sigma that stands in the plan itself.
template <class T>
inline void TruncatedBackwardProblem<T>::find_mu() {
  if (!course_.pivots_last) return;
  for (int64_t j = 0; j < r_; ++j) s_.sums[j] = 0;
  sweep_plan(
      [&](Buffers<T>& b, int64_t, int64_t) { weigh_plan(b.by_token, s_.zeros, r_, b.w, b.dots, b.lanes); },
      [&](const Buffers<T>& b) {
        for (int64_t j = 0; j < r_; ++j) s_.sums[j] += b.pivots[j];
      });
  for (int64_t j = 0; j < r_; ++j)
    s_.mu[j] =
        static_cast<T>(s_.sums[j] * __builtin_exp(-set_.log_sigma(j)) / static_cast<double>(set_.tokens));
  add_masses(1, s_.sums);
}

/// hbar_s, and on the query side dU.
template <class T>
inline void TruncatedBackwardProblem<T>::last_adjoint(int which) {
  const View<const T>& d_out = call_.gradients.out;
  const T* rows = at(d_out, set_.place);
  for (int64_t j = 0; j < r_; ++j) s_.sums[j] = 0;
  sweep_plan(
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        if (which == 0)
          gather_from_tokens(b.by_token,
                             whole_rows(rows + first * d_out.token, d_out.token, count, set_.shape, b.rows_a),
                             count, set_.shape, b.rows);
        weigh_plan(b.by_token, s_.mu, r_, b.w, b.dots, b.lanes);
        if (!course_.opening_only) add_token_terms<T>(b.p, b.dots, T(-1), r_, nullptr, b.lanes);
      },
      [&](const Buffers<T>& b) {
        for (int64_t j = 0; j < r_; ++j) s_.sums[j] += b.pivots[j];
        if (which == 0) add_to(b.rows, r_ * set_.shape.d_padded, s_.d_summary);
      });
  convert(s_.sums, r_, s_.adjoints + course_.last * r_);
}

/// Of step t -> t + 1: bias of p(g_t), log2 of a / c(g_t), hbar_{t+1}.
template <class T>
inline void TruncatedBackwardProblem<T>::set_step(int which, int64_t t, T* bias, T* ratio_shift,
                                                  T* adjoint) const {
  const T* entry = set_.entry(which, t);
  const double log_tokens = __builtin_log(static_cast<double>(set_.tokens));
  set_scaled(entry, r_, kLog2e, bias);
  for (int64_t j = 0; j < r_; ++j) {
    ratio_shift[j] = static_cast<T>(-(static_cast<double>(entry[r_ + j]) + log_tokens) * kLog2e);
    adjoint[j] = s_.adjoints[(t + 1) * r_ + j];
  }
}

template <class T>
inline void TruncatedBackwardProblem<T>::earlier_adjoint(int which, int64_t t) {
  const int64_t tile_size = set_.shape.d * kTile;
  const T *bias = s_.step, *ratio_shift = s_.ratio_shift, *adjoint = s_.adjoint;
  set_step(which, t, s_.step, s_.ratio_shift, s_.adjoint);
  for (int64_t j = 0; j < r_; ++j) s_.sums[j] = 0;
  sweep(
      s_.workers, set_.tokens,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        b.clear_pivots(r_);
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(set_.tokens, tile);
          pivot_scores(s_.z, set_.shape.d, s_.tokens + tile * tile_size, set_.shape, s_.zeros, T(0),
                       b.scores);
          log_softmax_tile(b.scores, bias, set_.bound, r_, count, b.p);
          power_tile(b.p, ratio_shift, T(0), r_, count, b.by_token);
          subtract_columns<T>(b.by_token, adjoint, r_, nullptr, b.dots);
          add_token_terms<T>(b.p, b.dots, T(1), r_, nullptr, b.lanes);
          b.flush(r_);
        }
      },
      [&](const Buffers<T>& b) {
        for (int64_t j = 0; j < r_; ++j) s_.sums[j] += b.pivots[j];
      });
  convert(s_.sums, r_, s_.adjoints + t * r_);
}

/// dA of a tile (in b.w) loses the terms of step t -> t + 1.
template <class T>
inline void TruncatedBackwardProblem<T>::subtract_step(int which, int64_t t, Buffers<T>& b,
                                                       int64_t count) const {
  T* bias = b.gram;  // three rows of scratch: the Gram matrix is not formed here
  T* ratio_shift = bias + r_;
  T* adjoint = ratio_shift + r_;
  set_step(which, t, bias, ratio_shift, adjoint);
  log_softmax_tile(b.scores, bias, set_.bound, r_, count, b.p);
  power_tile(b.p, ratio_shift, T(0), r_, count, b.by_token);
  subtract_columns(b.by_token, adjoint, r_, b.w, b.dots);
  add_token_terms<T>(b.p, b.dots, T(1), r_, b.w, b.lanes);
}

/// dA tile by tile, and from it the gradients of tokens and pivots; on the key side those of V.
template <class T>
inline void TruncatedBackwardProblem<T>::token_gradients(int which, const View<const T>& x,
                                                         const View<T>& d_x) {
  const T* rows = at(x, set_.place);
  T* d_rows = at(d_x, set_.place);
  const View<T>& d_v = call_.gradients.v;
  T* v_rows = at(d_v, set_.place);
  T* opening = s_.ratio_shift;  // log2 of softmax_k(A) over A
  for (int64_t j = 0; j < r_; ++j)
    opening[j] = static_cast<T>((static_cast<double>(set_.entry(which, 0)[j]) - set_.log_sigma(j)) * kLog2e);
  const bool with_opening = course_.opening && !course_.opening_only;
  sweep_plan(
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        if (which == 1)
          spread_to_tokens(b.by_token, s_.mixed, count, T(1), set_.shape, v_rows + first * d_v.token,
                           d_v.token, b.rows_a);
        weigh_plan(b.by_token, s_.mu, r_, b.w, b.dots, b.lanes);
        if (!course_.opening_only) add_token_terms<T>(b.p, b.dots, T(-1), r_, b.w, b.lanes);
        for (int64_t t = course_.last - 1; t >= 0; --t) subtract_step(which, t, b, count);
        if (with_opening) {
          power_tile(b.scores, opening, set_.bound, r_, count, b.by_token);
          subtract_columns(b.by_token, s_.adjoints, r_, b.w, b.dots);
        }
        if (set_.bound != 0) mask_outside(b.scores, set_.bound, r_, b.w);
        spread_to_tokens(b.w, s_.z_rows, count, T(1), set_.shape, d_rows + first * d_x.token, d_x.token,
                         b.rows_a);
        gather_from_tokens(b.w, whole_rows(rows + first * x.token, x.token, count, set_.shape, b.rows_a),
                           count, set_.shape, b.rows);
      },
      [&](const Buffers<T>& b) { add_to(b.rows, r_ * set_.shape.d_padded, s_.d_z); });
  clear_tokens(d_x, set_.place, set_.tokens, set_.call.problem.tokens, set_.shape.d);
  if (which == 1) clear_tokens(d_v, set_.place, set_.tokens, set_.call.problem.tokens, set_.shape.d);
}

template <class T>
inline void TruncatedBackwardProblem<T>::side(int which, const View<const T>& x, const View<const T>& other,
                                              const View<T>& d_x) {
  open_side(which, x, other);
  find_mu();
  last_adjoint(which);
  for (int64_t t = course_.last - 1; t >= 0; --t) {
    convert(s_.adjoints + (t + 1) * r_, r_, s_.sums);
    add_masses(1, s_.sums);
    earlier_adjoint(which, t);
  }
  if (course_.opening && !course_.opening_only) {
    convert(s_.adjoints, r_, s_.sums);
    add_masses(1, s_.sums);
  }
  token_gradients(which, x, d_x);
}

template <class T>
void truncated_backward(const TruncatedBackward<T>& call, const Executor& executor) {
  const Problem<T>& problem = call.forward.problem;
  const int64_t count = problem.batch * problem.heads, r = problem.pivots, d = problem.dim;
  Arena arena(executor, Arena::bytes<T>(count * r * d) + Arena::bytes<T>(count * r));
  const SharedGradients<T> shared{arena.take<T>(count * r * d), arena.take<T>(count * r), nullptr};
  for_each_problem(problem, executor, [&](const Place& place, const Executor* inside) {
    if (call.forward.reference || length_of(problem, place) > 0)
      TruncatedBackwardProblem<T>(call, place, shared, executor, inside).run();
    else
      clear_problem(problem, call.gradients, place, shared);
  });
  add_over_batch(shared, problem, call.gradients);
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
