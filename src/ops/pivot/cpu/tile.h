// SPDX-License-Identifier: MIT
// kTile tokens at a time: tokens across lanes, so that the softmax over pivots needs no sum across lanes.
// Tile matrices are [r][kTile]. Only for core.inl.
#pragma once

#include "product.h"
#include "tile_sums.h"

namespace lotformer::ops::pivot::cpu {
namespace {

constexpr int64_t kFlushTiles = 8;  // sums in lanes go to double this often
constexpr int64_t kFewPivots = 8;   // Gram matrix by products of lanes up to here, by a matrix product beyond

/// Exponents (of 2) below this count as this: beside a maximum of 1 they are nothing, and no product of two
/// results is subnormal enough to cost time.
template <class T>
constexpr T kLowestExponent = sizeof(T) == 4 ? T(-86) : T(-952);

template <class T>
struct Shape {
  int64_t r, d;
  int64_t r_padded, d_padded;  // to whole vectors
  Shape(int64_t pivots, int64_t dim)
      : r(pivots), d(dim), r_padded(round_up(pivots, kLanes<T>)), d_padded(round_up(dim, kLanes<T>)) {}
};

PIVOT_INLINE int64_t tiles_of(int64_t tokens) {
  return (tokens + kTile - 1) / kTile;
}
PIVOT_INLINE int64_t tile_tokens(int64_t tokens, int64_t tile) {
  const int64_t left = tokens - tile * kTile;
  return left < kTile ? left : kTile;
}

/// `count` rows [count, d] as one tile [d][kTile], zeros beyond.
template <class T>
inline void pack_tile(const T* x, int64_t stride, int64_t count, int64_t d, T* packed) {
  const int64_t whole_tokens = count / kLanes<T> * kLanes<T>, whole_dims = d / kLanes<T> * kLanes<T>;
  if (count < kTile) std::memset(packed, 0, sizeof(T) * d * kTile);
  for (int64_t t = 0; t < whole_tokens; t += kLanes<T>) {
    for (int64_t c = 0; c < whole_dims; c += kLanes<T>)
      transpose_square(x + t * stride + c, stride, packed + c * kTile + t, kTile);
    for (int64_t c = whole_dims; c < d; ++c) {
      for (int64_t i = t; i < t + kLanes<T>; ++i) packed[c * kTile + i] = x[i * stride + c];
    }
  }
  for (int64_t t = whole_tokens; t < count; ++t) {
    for (int64_t c = 0; c < d; ++c) packed[c * kTile + t] = x[t * stride + c];
  }
}

/// Tokens [n, d] as tiles [tiles][d][kTile].
template <class T>
inline void pack_tokens(const T* x, int64_t stride, int64_t n, int64_t d, T* packed) {
  for (int64_t tile = 0; tile < tiles_of(n); ++tile)
    pack_tile(x + tile * kTile * stride, stride, tile_tokens(n, tile), d, packed + tile * d * kTile);
}

/// Rows of a tile with whole vectors to read.
template <class T>
struct Rows {
  const T* data;
  int64_t stride;
};

template <class T>
inline Rows<T> whole_rows(const T* x, int64_t stride, int64_t count, const Shape<T>& shape, T* copy) {
  if (shape.d == shape.d_padded) return {x, stride};
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t c = 0; c < shape.d_padded; ++c)
      copy[t * shape.d_padded + c] = c < shape.d ? x[t * stride + c] : T(0);
  }
  return {copy, shape.d_padded};
}

/// out[t][:] = scale sum_j p[j][t] rows[j][:] for t < count; rows [r][d_padded].
template <class T>
inline void spread_to_tokens(const T* p, const T* rows, int64_t count, T scale, const Shape<T>& shape, T* out,
                             int64_t stride, T* copy) {
  const bool direct = shape.d == shape.d_padded;
  T* to = direct ? out : copy;
  set_product<T>({p, 1, kTile}, {rows, shape.d_padded}, count, shape.d_padded, shape.r, scale, to,
                 direct ? stride : shape.d_padded);
  if (direct) return;
  for (int64_t t = 0; t < count; ++t)
    std::memcpy(out + t * stride, copy + t * shape.d_padded, sizeof(T) * shape.d);
}

/// sums[j][:] += sum_t p[j][t] x[t][:]; sums [r][d_padded].
template <class T>
inline void gather_from_tokens(const T* p, Rows<T> x, int64_t count, const Shape<T>& shape, T* sums) {
  add_product<T>({p, kTile, 1}, {x.data, x.stride}, shape.r, shape.d_padded, count, sums, shape.d_padded);
}

/// s[j][t] = clamp(left_j . x_t) + bias_j; bound 0: no clamp. NaN stays NaN.
template <class T>
inline void pivot_scores(const T* left, int64_t left_row, const T* packed, const Shape<T>& shape,
                         const T* bias, T bound, T* s) {
  const Left<T> a{left, left_row, 1};
  const Right<T> b{packed, kTile};
  if (bound == 0) {
    product(a, b, shape.r, 0, kTile, shape.d, [=](int64_t m, int64_t n, const Vec<T>& sum) PIVOT_LAMBDA {
      store(s + m * kTile + n, sum + bias[m]);
    });
  } else {
    product(a, b, shape.r, 0, kTile, shape.d, [=](int64_t m, int64_t n, const Vec<T>& sum) PIVOT_LAMBDA {
      const Vec<T> low = broadcast<T>(-bound), high = broadcast<T>(bound);
      const Vec<T> raised = low > sum ? low : sum;
      store(s + m * kTile + n, (high < raised ? high : raised) + bias[m]);
    });
  }
}

/// w = a p of a tile.
template <class T>
inline void weigh_tile(const T* p, const T* a, int64_t r, T* w) {
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t v = 0; v < kTile; v += kLanes<T>)
      store(w + j * kTile + v, load(p + j * kTile + v) * load(a + v));
  }
}

/// s becomes p = softmax over pivots of s (base 2), zero at tokens beyond `count`.
template <class T, class Sums>
inline void softmax_tile(T* s, int64_t r, int64_t count, const Sums& sums) {
  constexpr int64_t L = kLanes<T>, kVectors = kTile / L;
  Vec<T> share[kVectors];
  for (int64_t v = 0; v < kVectors; ++v) {
    T* column = s + v * L;
    Vec<T> largest = load(column);
    for (int64_t j = 1; j < r; ++j) {
      const Vec<T> x = load(column + j * kTile);
      largest = x > largest ? x : largest;
    }
    Vec<T> sum{};
    const Vec<T> lowest = broadcast<T>(kLowestExponent<T>);
    for (int64_t j = 0; j < r; ++j) {
      const Vec<T> x = load(column + j * kTile) - largest;
      const Vec<T> e = power_of_two<T>(lowest > x ? lowest : x);
      store(column + j * kTile, e);
      sum += e;
    }
    if (count >= (v + 1) * L) {
      share[v] = broadcast<T>(1) / sum;
    } else {
      const IntVec<T> live = lane_numbers<T>() < IntVec<T>{} + static_cast<IntOf<T>>(count - v * L);
      const Vec<T> one = broadcast<T>(1), none{};
      share[v] = live ? one / sum : none;
      largest = live ? largest : none;
      sum = live ? sum : one;
    }
    sums.normaliser(v, largest, sum);
  }
  sums.tile_done();
  for (int64_t j = 0; j < r; ++j) {
    Vec<T> sum{};
    for (int64_t v = 0; v < kVectors; ++v) {
      const Vec<T> p = load(s + j * kTile + v * L) * share[v];
      store(s + j * kTile + v * L, p);
      sum += sums.weigh(j, v, p);
    }
    sums.pivot_done(j, sum);
  }
}

/// dot[t] = sum_j p[j][t] w[j][t]
template <class T>
inline void token_dots(const T* p, const T* w, int64_t r, T* dot) {
  for (int64_t v = 0; v < kTile; v += kLanes<T>) {
    Vec<T> sum{};
    for (int64_t j = 0; j < r; ++j) sum += load(p + j * kTile + v) * load(w + j * kTile + v);
    store(dot + v, sum);
  }
}

/// sums[j][lane] += p (w - dot)
template <class T>
inline void add_centred(const T* p, const T* w, const T* dot, int64_t r, T* sums) {
  for (int64_t j = 0; j < r; ++j) {
    Vec<T> sum = load(sums + j * kLanes<T>);
    for (int64_t v = 0; v < kTile; v += kLanes<T>)
      sum += load(p + j * kTile + v) * (load(w + j * kTile + v) - load(dot + v));
    store(sums + j * kLanes<T>, sum);
  }
}

/// w_j -= a lambda_j of a tile, dot[t] = sum_j p_j lambda_j.
template <class T>
inline void subtract_weighted(const T* p, const T* a, const T* lambda, int64_t r, T* w, T* dot) {
  for (int64_t v = 0; v < kTile; v += kLanes<T>) {
    Vec<T> sum{};
    const Vec<T> mass = load(a + v);
    for (int64_t j = 0; j < r; ++j) {
      sum += load(p + j * kTile + v) * lambda[j];
      store(w + j * kTile + v, load(w + j * kTile + v) - mass * lambda[j]);
    }
    store(dot + v, sum);
  }
}

/// w = scale p (w - dot)
template <class T>
inline void centre(const T* p, T* w, const T* dot, int64_t r, T scale) {
  for (int64_t j = 0; j < r; ++j) {
    for (int64_t v = 0; v < kTile; v += kLanes<T>) {
      T* to = w + j * kTile + v;
      store(to, scale * load(p + j * kTile + v) * (load(to) - load(dot + v)));
    }
  }
}

template <class T>
PIVOT_INLINE int64_t gram_size(const Shape<T>& shape) {
  return shape.r <= kFewPivots ? shape.r * (shape.r + 1) / 2 * kLanes<T> : shape.r * shape.r_padded;
}

/// Adds sum_t p_j w_l, w = p or a p: `gram` is [pairs l >= j][lanes] for few pivots, else [r][r_padded] of
/// which the upper half counts.
template <class T>
inline void add_gram(const T* p, const T* w, const Shape<T>& shape, T* by_token, T* gram) {
  constexpr int64_t L = kLanes<T>;
  if (shape.r <= kFewPivots) {
    for (int64_t j = 0; j < shape.r; ++j) {
      for (int64_t l = j; l < shape.r; ++l, gram += L) {
        Vec<T> sum = load(gram);
        for (int64_t v = 0; v < kTile; v += L) sum += load(p + j * kTile + v) * load(w + l * kTile + v);
        store(gram, sum);
      }
    }
    return;
  }
  for (int64_t j = 0; j < shape.r; j += L) {
    for (int64_t t = 0; t < kTile; t += L)
      transpose_square(p + j * kTile + t, kTile, by_token + t * shape.r_padded + j, shape.r_padded);
  }
  for (int64_t j = 0; j < shape.r; j += L) {  // block rows, from the diagonal to the right
    const int64_t rows = shape.r - j < L ? shape.r - j : L;
    product(Left<T>{w + j * kTile, kTile, 1}, Right<T>{by_token, shape.r_padded}, rows, j, shape.r_padded,
            kTile, [=](int64_t m, int64_t n, const Vec<T>& sum) PIVOT_LAMBDA {
              T* to = gram + (j + m) * shape.r_padded + n;
              store(to, load(to) + sum);
            });
  }
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
