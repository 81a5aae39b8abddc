// SPDX-License-Identifier: MIT
// The converged map, backward: implicit differentiation, two sweeps a side (docs/lotformer.md). Only for
// core.inl.
#pragma once

#include "shared_gradients.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// Memory of one problem's backward call.
template <class T>
struct BackwardScratch {
  Arena arena;
  T *z, *z_rows;                         // [r][d] base 2, [r][d_padded] natural
  T *tokens, *upstream;                  // tiles of x and of dO or V
  T* masses;                             // tiles of a, where the side has masses
  T *summary, *mixed, *d_summary, *d_z;  // U, W or E, dU, dz  [r][d_padded]
  T *bias, *shift, *by_mass;             // h, what is added to w, the part of it that is due to c'  [r]
  T* lambda_row;                         // lambda of the query side [r]
  Rounding query, key;
  double *mass, *tau, *lambda, *root, *marginal, *gram, *matrix;
  Workers<T> workers;

  static std::size_t bytes(const Shape<T>& s, int64_t tokens, bool side_by_side) {
    using A = Arena;
    return A::bytes<T>(s.r * s.d) + 5 * A::bytes<T>(s.r * s.d_padded) +
           2 * A::bytes<T>(tiles_of(tokens) * s.d * kTile) + A::bytes<T>(tiles_of(tokens) * kTile) +
           4 * A::bytes<T>(s.r) + 9 * A::bytes<double>(s.r) + 2 * A::bytes<double>(s.r * s.r) +
           Workers<T>::bytes(s, side_by_side);
  }
  BackwardScratch(const Executor& executor, const Executor* inside, const Shape<T>& s, int64_t n)
      : arena(executor, bytes(s, n, inside != nullptr)),
        z(arena.take<T>(s.r * s.d)),
        z_rows(arena.take<T>(s.r * s.d_padded)),
        tokens(arena.take<T>(tiles_of(n) * s.d * kTile)),
        upstream(arena.take<T>(tiles_of(n) * s.d * kTile)),
        masses(arena.take<T>(tiles_of(n) * kTile)),
        summary(arena.take<T>(s.r * s.d_padded)),
        mixed(arena.take<T>(s.r * s.d_padded)),
        d_summary(arena.take<T>(s.r * s.d_padded)),
        d_z(arena.take<T>(s.r * s.d_padded)),
        bias(arena.take<T>(s.r)),
        shift(arena.take<T>(s.r)),
        by_mass(arena.take<T>(s.r)),
        lambda_row(arena.take<T>(s.r)),
        query{arena.take<double>(s.r), arena.take<double>(s.r), s.r},
        key{arena.take<double>(s.r), arena.take<double>(s.r), s.r},
        mass(arena.take<double>(s.r)),
        tau(arena.take<double>(s.r)),
        lambda(arena.take<double>(s.r)),
        root(arena.take<double>(s.r)),
        marginal(arena.take<double>(s.r)),
        gram(arena.take<double>(s.r * s.r)),
        matrix(arena.take<double>(s.r * s.r)),
        workers(s, inside, arena) {}
};

template <class T>
class BackwardProblem {
 public:
  BackwardProblem(const ExactBackward<T>& call, const Place& place, const SharedGradients<T>& shared,
                  const Executor& executor, const Executor* inside)
      : call_(call),
        place_(place),
        shared_(shared),
        shape_(call.problem.pivots, call.problem.dim),
        n_(length_of(call.problem, place)),
        sigma_(call.problem.sigma + place.head * shape_.r),
        s_(executor, inside, shape_, n_) {}

  void run() {
    prepare();
    query_side();
    between();
    key_side();
    finish();
  }

 private:
  double kappa(int side) const {
    return call_.kappa ? static_cast<double>(call_.kappa[side * call_.problem.heads + place_.head]) : 0;
  }
  bool has_masses(int side) const { return call_.masses[side].data != nullptr; }
  /// Gradients of the side's masses, zero at padding.
  void write_mass_gradients(int side, int64_t first, int64_t count, const T* values, T sign);
  const T* state_row(const T* state, int side) const { return state + place_.of_side(side) * shape_.r; }
  T* d_sigma() const { return shared_.sigma + place_.index * shape_.r; }

  void prepare();
  void query_side();
  void between();
  void key_side();
  void finish();
  /// Packs the side's tokens and what multiplies them, sets its bias.
  void open_side(int side, const View<const T>& x, const View<const T>& other);
  void solve_side(int side);
  template <class Use, class Add>
  void sweep_side(const Use& use, const Add& add);
  template <class Use>
  void first_sweep(int side, const Use& use);
  void second_sweep(int side, const View<const T>& x, const View<T>& d_x, T scale);

  const ExactBackward<T>& call_;
  Place place_;
  SharedGradients<T> shared_;
  Shape<T> shape_;
  int64_t n_;
  const T* sigma_;
  BackwardScratch<T> s_;
};

template <class T>
inline void BackwardProblem<T>::prepare() {
  const int64_t r = shape_.r, width = shape_.d_padded;
  const T* z = call_.problem.z + place_.head * r * shape_.d;
  scale_pivots(z, shape_, logit_scale(call_.problem) * kLog2e, shape_.d, s_.z);
  scale_pivots(z, shape_, logit_scale(call_.problem), width, s_.z_rows);
  widen_rows<T>(call_.state.summary + place_.index * r * shape_.d, r, shape_.d, width, s_.summary);
  s_.query.set(state_row(call_.state.marginal, 0), sigma_, kappa(0) != 0);
  s_.key.set(state_row(call_.state.marginal, 1), sigma_, kappa(1) != 0);
  rounded_mass(s_.key, state_row(call_.state.marginal, 1), s_.mass);
  std::memset(s_.d_z, 0, sizeof(T) * r * width);
  std::memset(s_.d_summary, 0, sizeof(T) * r * width);
}

template <class T>
inline void BackwardProblem<T>::open_side(int side, const View<const T>& x, const View<const T>& other) {
  const int64_t r = shape_.r;
  pack_tokens(at(x, place_), x.token, n_, shape_.d, s_.tokens);
  pack_tokens(at(other, place_), other.token, n_, shape_.d, s_.upstream);
  if (has_masses(side)) pack_masses(at(call_.masses[side], place_), 1, n_, 1, s_.masses);
  convert(state_row(call_.state.potentials, side), r, s_.root);
  bias_of(s_.root, r, s_.bias);
  convert(state_row(call_.state.marginal, side), r, s_.marginal);
  convert(call_.state.gram + place_.of_side(side) * r * r, r * r, s_.gram);
  for (int64_t j = 0; j < r; ++j) {
    s_.shift[j] = 0;
    s_.tau[j] = 0;
  }
}

/// lambda of ((1 + kappa) diag(c) - G) lambda = tau. Where the matrix is singular beyond the jitter every p_i
/// is one-hot; the softmax derivative p (w - p.w) then vanishes together with tau and 0 is the answer, as it
/// is where the marginal is free.
template <class T>
inline void BackwardProblem<T>::solve_side(int side) {
  const int64_t r = shape_.r;
  using P = Precision<T>;
  const double relaxation = kappa(side);
  if (__builtin_isinf(relaxation) || !solve_system(s_.marginal, s_.gram, s_.tau, 1, relaxation, P::kJitter,
                                                   P::kTiny, r, s_.matrix, s_.root, s_.lambda)) {
    for (int64_t j = 0; j < r; ++j) s_.lambda[j] = 0;
  }
  const T* h = state_row(call_.state.potentials, side);
  double slope = 0, mean = 0;  // the constant in h means nothing to the slope: c . lambda = 0
  for (int64_t j = 0; j < r; ++j) {
    slope -= s_.lambda[j] * s_.marginal[j] * static_cast<double>(h[j]);
    mean += s_.lambda[j] / static_cast<double>(r);
  }
  shared_.kappa[2 * place_.index + side] = static_cast<T>(slope);
  if (relaxation != 0) return;
  for (int64_t j = 0; j < r; ++j) s_.lambda[j] -= mean;
}

template <class T>
inline void BackwardProblem<T>::write_mass_gradients(int side, int64_t first, int64_t count, const T* values,
                                                     T sign) {
  T* to = at(call_.d_masses[side], place_) + first;
  for (int64_t t = 0; t < count; ++t) to[t] = sign * values[t];
}

/// use(buffers with p and w of a tile, first token, tokens) and add(buffers) in order.
template <class T>
template <class Use, class Add>
inline void BackwardProblem<T>::sweep_side(const Use& use, const Add& add) {
  const int64_t r = shape_.r, width = shape_.d_padded, tile_size = shape_.d * kTile;
  sweep(
      s_.workers, n_,
      [&](Buffers<T>& b, int64_t first, int64_t last) {
        b.clear_rows(shape_);
        b.clear_pivots(r);
        for (int64_t tile = first; tile < last; ++tile) {
          const int64_t count = tile_tokens(n_, tile);
          pivot_scores(s_.z, shape_.d, s_.tokens + tile * tile_size, shape_, s_.bias, T(0), b.p);
          softmax_tile(b.p, r, count, NoSums<T>{});
          pivot_scores(s_.mixed, width, s_.upstream + tile * tile_size, shape_, s_.shift, T(0), b.w);
          token_dots(b.p, b.w, r, b.dots);
          use(b, tile * kTile, count);
          if ((tile - first) % kFlushTiles == kFlushTiles - 1) b.flush(r);
        }
        b.flush(r);
      },
      add);
}

/// tau, and what else `use` does with the weights of the side's mean (p, or a p).
template <class T>
template <class Use>
inline void BackwardProblem<T>::first_sweep(int side, const Use& use) {
  const int64_t r = shape_.r;
  sweep_side(
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        const T* weights = b.p;  // of the mean: the key side's tokens count by their masses
        if (side == 1 && has_masses(1)) {
          weigh_tile(b.p, s_.masses + first, r, b.scores);
          weights = b.scores;
        }
        add_centred(weights, b.w, b.dots, r, b.lanes);
        use(b, weights, first, count);
      },
      [&](const Buffers<T>& b) {
        for (int64_t j = 0; j < r; ++j) s_.tau[j] += b.pivots[j];
        if (side == 0) add_to(b.rows, r * shape_.d_padded, s_.d_summary);
      });
}

/// d logits = scale p (w - p.w), and from them the gradients of tokens and pivots. With masses a: on the
/// query side w_ij loses a_i lambda_j and the gradient of a_i is -p_i . lambda; on the key side the scale is
/// a_k and the gradient of a_k is p_k . w_k, because there a mass multiplies all that p does.
template <class T>
inline void BackwardProblem<T>::second_sweep(int side, const View<const T>& x, const View<T>& d_x, T scale) {
  const T* rows = at(x, place_);
  T* d_rows = at(d_x, place_);
  sweep_side(
      [&](Buffers<T>& b, int64_t first, int64_t count) {
        const T* weights = b.p;
        if (has_masses(side) && side == 0) {
          subtract_weighted(b.p, s_.masses + first, s_.lambda_row, shape_.r, b.w, b.dots);
          write_mass_gradients(0, first, count, b.dots, T(-1));
          token_dots(b.p, b.w, shape_.r, b.dots);
        } else if (has_masses(side)) {
          write_mass_gradients(1, first, count, b.dots, T(1));
          weigh_tile(b.p, s_.masses + first, shape_.r, b.scores);
          weights = b.scores;
        }
        centre(weights, b.w, b.dots, shape_.r, scale);
        spread_to_tokens(b.w, s_.z_rows, count, T(1), shape_, d_rows + first * d_x.token, d_x.token,
                         b.rows_a);
        gather_from_tokens(b.w, whole_rows(rows + first * x.token, x.token, count, shape_, b.rows_a), count,
                           shape_, b.rows);
      },
      [&](const Buffers<T>& b) { add_to(b.rows, shape_.r * shape_.d_padded, s_.d_z); });
  clear_tokens(d_x, place_, n_, call_.problem.tokens, shape_.d);
  if (!has_masses(side)) return;
  T* d_masses = at(call_.d_masses[side], place_);
  for (int64_t t = n_; t < call_.problem.tokens; ++t) d_masses[t] = 0;
}

/// w_ij = dO_i . W_j
template <class T>
inline void BackwardProblem<T>::query_side() {
  const int64_t r = shape_.r, width = shape_.d_padded;
  const View<const T>& d_out = call_.gradients.out;
  s_.query.apply(s_.summary, width, s_.mixed);
  open_side(0, call_.problem.q, d_out);
  const T* rows = at(d_out, place_);
  first_sweep(0, [&](Buffers<T>& b, const T*, int64_t first, int64_t count) {
    gather_from_tokens(b.p, whole_rows(rows + first * d_out.token, d_out.token, count, shape_, b.rows_a),
                       count, shape_, b.rows);
  });
  s_.query.apply_transposed(s_.d_summary, width, s_.d_summary);
  solve_side(0);
  for (int64_t j = 0; j < r; ++j) {
    s_.lambda_row[j] = static_cast<T>(s_.lambda[j]);
    s_.shift[j] = has_masses(0) ? T(0) : static_cast<T>(-s_.lambda[j] / static_cast<double>(n_));
  }
  second_sweep(0, call_.problem.q, call_.gradients.q, T(1));
}

/// Gradient of sigma on the query side; E = R dU / mass and, where c' is not held at sigma, its own share.
template <class T>
inline void BackwardProblem<T>::between() {
  const int64_t r = shape_.r, width = shape_.d_padded;
  const double held = kappa(0);
  for (int64_t j = 0; j < r; ++j) {
    const T* row = s_.d_summary + j * width;
    const double by_mass = row_dot(row, s_.summary + j * width, width) / s_.mass[j];
    const double mass = larger(static_cast<double>(sigma_[j]), Precision<T>::kTiny);
    const double by_query = held == 0 ? s_.lambda[j] : s_.lambda[j] * s_.marginal[j] / mass;
    const bool key_held = kappa(1) == 0;
    d_sigma()[j] = static_cast<T>(by_query - (key_held ? by_mass : 0));
    s_.by_mass[j] = static_cast<T>(key_held ? 0 : -by_mass);
    for (int64_t c = 0; c < width; ++c)
      s_.summary[j * width + c] = static_cast<T>(static_cast<double>(row[c]) / s_.mass[j]);
  }
  s_.key.apply(s_.summary, width, s_.mixed);
}

/// x_kj = V_k . E_j
template <class T>
inline void BackwardProblem<T>::key_side() {
  const int64_t r = shape_.r;
  const View<const T>& v = call_.problem.v;
  const View<T>& d_v = call_.gradients.v;
  open_side(1, call_.problem.k, v);
  std::memcpy(s_.shift, s_.by_mass, sizeof(T) * r);
  const double tokens = has_masses(1) ? 1 : static_cast<double>(n_);
  const T share = static_cast<T>(1 / tokens);
  T* d_rows = at(d_v, place_);
  first_sweep(1, [&](Buffers<T>& b, const T* weights, int64_t first, int64_t count) {
    spread_to_tokens(weights, s_.mixed, count, share, shape_, d_rows + first * d_v.token, d_v.token,
                     b.rows_a);
  });
  clear_tokens(d_v, place_, n_, call_.problem.tokens, shape_.d);
  for (int64_t j = 0; j < r; ++j) s_.tau[j] /= tokens;
  solve_side(1);
  for (int64_t j = 0; j < r; ++j) s_.shift[j] -= static_cast<T>(s_.lambda[j]);
  second_sweep(1, call_.problem.k, call_.gradients.k, share);
}

template <class T>
inline void BackwardProblem<T>::finish() {
  const int64_t r = shape_.r, d = shape_.d;
  const double scale = logit_scale(call_.problem);
  const bool held = kappa(1) == 0;
  for (int64_t j = 0; j < r; ++j) {
    const double mass = larger(static_cast<double>(sigma_[j]), Precision<T>::kTiny);
    d_sigma()[j] += static_cast<T>(held ? s_.lambda[j] : s_.lambda[j] * s_.marginal[j] / mass);
    for (int64_t c = 0; c < d; ++c)
      shared_.z[(place_.index * r + j) * d + c] =
          static_cast<T>(static_cast<double>(s_.d_z[j * shape_.d_padded + c]) * scale);
  }
}

template <class T>
void exact_backward(const ExactBackward<T>& call, const Executor& executor) {
  const Problem<T>& problem = call.problem;
  const int64_t count = problem.batch * problem.heads, r = problem.pivots, d = problem.dim;
  Arena arena(executor,
              Arena::bytes<T>(count * r * d) + Arena::bytes<T>(count * r) + Arena::bytes<T>(2 * count));
  const SharedGradients<T> shared{arena.take<T>(count * r * d), arena.take<T>(count * r),
                                  arena.take<T>(2 * count)};
  std::memset(shared.kappa, 0, sizeof(T) * 2 * count);
  for_each_problem(problem, executor, [&](const Place& place, const Executor* inside) {
    if (length_of(problem, place) == 0) {
      clear_problem(problem, call.gradients, place, shared);
      for (const Masses<T>& d_masses : call.d_masses) {
        if (d_masses.data) std::memset(at(d_masses, place), 0, sizeof(T) * problem.tokens);
      }
    } else
      BackwardProblem<T>(call, place, shared, executor, inside).run();
  });
  add_over_batch(shared, problem, call.gradients);
  if (!call.d_kappa) return;
  for (int64_t i = 0; i < 2 * problem.heads; ++i) call.d_kappa[i] = 0;
  for (int64_t b = 0; b < problem.batch; ++b) {
    for (int64_t h = 0; h < problem.heads; ++h) {
      for (int side = 0; side < 2; ++side)
        call.d_kappa[side * problem.heads + h] += shared.kappa[2 * (b * problem.heads + h) + side];
    }
  }
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
