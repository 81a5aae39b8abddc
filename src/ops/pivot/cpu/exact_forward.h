// SPDX-License-Identifier: MIT
// The converged map, forward. Only for core.inl.
#pragma once

#include "problem.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// A first solution on every kCoarseStep-th token costs a sixteenth of a pass and saves one or two passes
/// over all.
constexpr int64_t kCoarseStep = 16;
constexpr int64_t kCoarseTokens = 1024;  // fewer tokens in all: not worth it
constexpr double kCoarseTolerance = 1e-2;
constexpr int64_t kCoarsePasses = 8;

template <class T>
inline bool coarse_start_pays(int64_t tokens, int64_t r) {
  return tokens >= kCoarseTokens && tokens / kCoarseStep >= 2 * r;
}

/// Memory of one problem's forward call.
template <class T>
struct ForwardScratch {
  Arena arena;
  T *z, *packed, *coarse;     // [r][d], tiles of a side, tiles of its coarse start
  T *masses, *coarse_masses;  // the same of the side's masses, where it has some
  T *summary, *mixed, *bias;
  Rounding rounding;
  double* mass;
  Solver<T> solver;
  Workers<T> workers;

  static std::size_t bytes(const Shape<T>& s, int64_t tokens, bool side_by_side) {
    using A = Arena;
    return A::bytes<T>(s.r * s.d) + A::bytes<T>(tiles_of(tokens) * s.d * kTile) +
           A::bytes<T>(tiles_of(tokens / kCoarseStep + 1) * s.d * kTile) +
           A::bytes<T>(tiles_of(tokens) * kTile) + A::bytes<T>(tiles_of(tokens / kCoarseStep + 1) * kTile) +
           2 * A::bytes<T>(s.r * s.d_padded) + A::bytes<T>(s.r) + 3 * A::bytes<double>(s.r) +
           Solver<T>::bytes(s.r) + Workers<T>::bytes(s, side_by_side);
  }
  ForwardScratch(const Executor& executor, const Executor* inside, const Shape<T>& s, int64_t tokens)
      : arena(executor, bytes(s, tokens, inside != nullptr)),
        z(arena.take<T>(s.r * s.d)),
        packed(arena.take<T>(tiles_of(tokens) * s.d * kTile)),
        coarse(arena.take<T>(tiles_of(tokens / kCoarseStep + 1) * s.d * kTile)),
        masses(arena.take<T>(tiles_of(tokens) * kTile)),
        coarse_masses(arena.take<T>(tiles_of(tokens / kCoarseStep + 1) * kTile)),
        summary(arena.take<T>(s.r * s.d_padded)),
        mixed(arena.take<T>(s.r * s.d_padded)),
        bias(arena.take<T>(s.r)),
        rounding{arena.take<double>(s.r), arena.take<double>(s.r), s.r},
        mass(arena.take<double>(s.r)),
        solver(s, arena),
        workers(s, inside, arena) {}
};

template <class T>
class ForwardProblem {
 public:
  ForwardProblem(const ExactForward<T>& call, const Place& place, const Executor& executor,
                 const Executor* inside)
      : call_(call),
        place_(place),
        shape_(call.problem.pivots, call.problem.dim),
        tokens_(length_of(call.problem, place)),
        sigma_(call.problem.sigma + place.head * shape_.r),
        s_(executor, inside, shape_, tokens_) {}

  void run() {
    scale_pivots(call_.problem.z + place_.head * shape_.r * shape_.d, shape_,
                 logit_scale(call_.problem) * kLog2e, shape_.d, s_.z);
    solve(1, call_.problem.k);
    pool();
    solve(0, call_.problem.q);
    spread();
    clear_tokens(call_.out, place_, tokens_, call_.problem.tokens, shape_.d);
  }

 private:
  double kappa(int side) const {
    return call_.kappa ? static_cast<double>(call_.kappa[side * call_.problem.heads + place_.head]) : 0;
  }
  T* state_row(T* state, int side) const { return state + place_.of_side(side) * shape_.r; }
  const T* masses(int side) const { return at(call_.masses[side], place_); }
  Side<T> side_of(int side) const {
    return {s_.packed, tokens_, s_.z, 0, masses(side) ? s_.masses : nullptr};
  }
  /// Every kCoarseStep-th token, in s_.coarse; false where these carry too little or too much of the mass to
  /// stand for all.
  bool coarse_side(int side, const View<const T>& x, Side<T>& coarse);
  /// 1 / sum a_i^2, the number of tokens where all count alike.
  double effective_tokens(int side) const;

  void solve(int side, const View<const T>& x);
  void store_point(int side, int64_t passes, double residual);
  void pool();
  void spread();
  template <class Use, class Add>
  void final_sweep(int side, const Use& use, const Add& add);

  const ExactForward<T>& call_;
  Place place_;
  Shape<T> shape_;
  int64_t tokens_;
  const T* sigma_;
  ForwardScratch<T> s_;
};

template <class T>
inline double ForwardProblem<T>::effective_tokens(int side) const {
  if (!masses(side)) return static_cast<double>(tokens_);
  double squares = 0;
  for (int64_t i = 0; i < tokens_; ++i)
    squares += static_cast<double>(s_.masses[i]) * static_cast<double>(s_.masses[i]);
  return 1 / squares;
}

template <class T>
inline bool ForwardProblem<T>::coarse_side(int side, const View<const T>& x, Side<T>& coarse) {
  const int64_t count = (tokens_ + kCoarseStep - 1) / kCoarseStep;
  coarse = {s_.coarse, count, s_.z, 0, nullptr};
  if (const T* all = masses(side)) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(all[i * kCoarseStep]);
    const double expected = 1 / static_cast<double>(kCoarseStep);
    if (!(sum > 0.5 * expected && sum < 2 * expected)) return false;
    pack_masses(all, kCoarseStep, count, 1 / sum, s_.coarse_masses);
    coarse.masses = s_.coarse_masses;
  }
  pack_tokens(at(x, place_), kCoarseStep * x.token, count, shape_.d, s_.coarse);
  return true;
}

template <class T>
inline void ForwardProblem<T>::solve(int side, const View<const T>& x) {
  const T* rows = at(x, place_);
  const double relaxation = kappa(side);
  const bool free = __builtin_isinf(relaxation);
  pack_tokens(rows, x.token, tokens_, shape_.d, s_.packed);
  if (const T* all = masses(side)) pack_masses(all, 1, tokens_, 1, s_.masses);
  s_.solver.set_masses(sigma_, free ? 0 : relaxation);
  s_.solver.start_from_zero();
  SolverOptions options{call_.tolerance, free ? 1 : call_.max_passes, false};
  options.sinkhorn_only = rules::sinkhorn_only(call_.max_passes, effective_tokens(side), shape_.r);
  Side<T> coarse;
  if (!free && call_.max_passes > 1 && coarse_start_pays<T>(tokens_, shape_.r) &&
      coarse_side(side, x, coarse)) {
    s_.solver.solve(coarse, {kCoarseTolerance, kCoarsePasses, false}, s_.workers);
    options.newton_first = s_.solver.point().residual <= kCoarseTolerance;
    if (!options.newton_first) s_.solver.start_from_zero();
  }
  const int64_t passes = s_.solver.solve(side_of(side), options, s_.workers);
  store_point(side, passes, free ? 0 : s_.solver.point().residual);
}

template <class T>
inline void ForwardProblem<T>::store_point(int side, int64_t passes, double residual) {
  const Point& point = s_.solver.point();
  const int64_t index = place_.of_side(side);
  convert(point.potentials, shape_.r, state_row(call_.state.potentials, side));
  convert(point.marginal, shape_.r, state_row(call_.state.marginal, side));
  call_.state.residual[index] = static_cast<T>(residual);
  call_.state.passes[index] = passes;
  convert(state_row(call_.state.potentials, side), shape_.r, s_.mass);
  bias_of(s_.mass, shape_.r, s_.bias);
}

/// use(buffers with p of a tile, a p in w where the side has masses, first token, tokens), add(buffers); G on
/// the way, where a gradient will want it.
template <class T>
template <class Use, class Add>
inline void ForwardProblem<T>::final_sweep(int side, const Use& use, const Add& add) {
  const int64_t r = shape_.r;
  Point& point = s_.solver.point();
  const bool with_gram = call_.state.gram && !point.has_gram;
  if (with_gram) std::memset(point.gram, 0, sizeof(double) * r * r);
  const Side<T> tokens = side_of(side);
  sweep(
      s_.workers, tokens_,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        b.clear_pivots(r);
        b.clear_rows(shape_);
        if (with_gram) b.clear_gram(shape_);
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(tokens_, tile);
          pivot_scores(tokens.z, shape_.d, tokens.packed + tile * shape_.d * kTile, shape_, s_.bias, T(0),
                       b.p);
          softmax_tile(b.p, r, count, NoSums<T>{});
          if (tokens.masses) weigh_tile(b.p, tokens.masses + tile * kTile, r, b.w);
          if (with_gram) add_gram(b.p, tokens.masses ? b.w : b.p, shape_, b.by_token, b.gram);
          use(b, tile * kTile, count);
        }
      },
      [&](const Buffers<T>& b) {
        if (with_gram) add_segment_gram(b, shape_, point.gram);
        add(b);
      });
  if (with_gram) finish_gram(point.gram, r, tokens.share());
  if (call_.state.gram) convert(point.gram, r * r, call_.state.gram + place_.of_side(side) * r * r);
}

/// Key side: U = weighted means of V, the weights of each pivot summing to 1 because they are divided by
/// their own mass.
template <class T>
inline void ForwardProblem<T>::pool() {
  const int64_t r = shape_.r, width = shape_.d_padded;
  const View<const T>& v = call_.problem.v;
  const T* rows = at(v, place_);
  std::memset(s_.summary, 0, sizeof(T) * r * width);
  final_sweep(
      1,
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        gather_from_tokens(masses(1) ? b.w : b.p,
                           whole_rows(rows + first * v.token, v.token, count, shape_, b.rows_a), count,
                           shape_, b.rows);
      },
      [&](const Buffers<T>& b) { add_to(b.rows, r * width, s_.summary); });
  const T* marginal = state_row(call_.state.marginal, 1);
  s_.rounding.set(marginal, sigma_, kappa(1) != 0);
  rounded_mass(s_.rounding, marginal, s_.mass);
  s_.rounding.apply_transposed(s_.summary, width, s_.summary);
  for (int64_t j = 0; j < r; ++j) {
    const T scale = static_cast<T>(1 / (s_.mass[j] * (masses(1) ? 1 : static_cast<double>(tokens_))));
    for (int64_t c = 0; c < width; ++c) s_.summary[j * width + c] *= scale;
  }
  narrow_rows(s_.summary, r, width, shape_.d, call_.state.summary + place_.index * r * shape_.d);
}

/// Query side: O = p R U.
template <class T>
inline void ForwardProblem<T>::spread() {
  s_.rounding.set(state_row(call_.state.marginal, 0), sigma_, kappa(0) != 0);
  s_.rounding.apply(s_.summary, shape_.d_padded, s_.mixed);
  T* out = at(call_.out, place_);
  final_sweep(
      0,
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        spread_to_tokens(b.p, s_.mixed, count, T(1), shape_, out + first * call_.out.token, call_.out.token,
                         b.rows_a);
      },
      [](const Buffers<T>&) {});
}

/// A sequence without a token: nothing to transport.
template <class T>
inline void forward_empty(const ExactForward<T>& call, const Place& place) {
  const int64_t r = call.problem.pivots, d = call.problem.dim;
  clear_tokens(call.out, place, 0, call.problem.tokens, d);
  for (int side = 0; side < 2; ++side) {
    const int64_t index = place.of_side(side);
    std::memset(call.state.potentials + index * r, 0, sizeof(T) * r);
    std::memcpy(call.state.marginal + index * r, call.problem.sigma + place.head * r, sizeof(T) * r);
    if (call.state.gram) std::memset(call.state.gram + index * r * r, 0, sizeof(T) * r * r);
    call.state.residual[index] = 0;
    call.state.passes[index] = 1;
  }
  std::memset(call.state.summary + place.index * r * d, 0, sizeof(T) * r * d);
}

template <class T>
void exact_forward(const ExactForward<T>& call, const Executor& executor) {
  for_each_problem(call.problem, executor, [&](const Place& place, const Executor* inside) {
    if (length_of(call.problem, place) == 0)
      forward_empty(call, place);
    else
      ForwardProblem<T>(call, place, executor, inside).run();
  });
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
