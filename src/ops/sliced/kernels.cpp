// SPDX-License-Identifier: MIT
#include "kernels.h"

#include <cmath>
#include <cstring>

#include "ops/tensor_tools/instruction_set.h"

namespace lotformer::ops {
namespace {

/// 64 bytes of T; the compiler splits it where registers are narrower.
template <class T>
struct Lanes {
  typedef T Type __attribute__((vector_size(64)));
  static constexpr int64_t kCount = 64 / sizeof(T);
};

/// kRows x (kLanes * lanes) entries of the product, in registers over the whole inner sum.
template <class T, int kRows, int kLanes>
LOTFORMER_INLINE void product_block(const RowProduct<T>& p, int64_t row, int64_t column) {
  using V = typename Lanes<T>::Type;
  constexpr int64_t kWidth = Lanes<T>::kCount;
  V sum[kRows][kLanes] = {};
  const T* a = p.a + row * p.a_row;
  for (int64_t j = 0; j < p.inner; ++j) {
    const T* b = p.b + (p.b_index ? p.b_index[j] : j) * p.b_row + column;
    V values[kLanes];
    std::memcpy(values, b, sizeof(values));
    for (int r = 0; r < kRows; ++r) {
      const T factor = a[r * p.a_row + j * p.a_inner];
      for (int lane = 0; lane < kLanes; ++lane) sum[r][lane] += factor * values[lane];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    T* c = p.c + (p.c_index ? p.c_index[row + r] : row + r) * p.c_row + column;
    for (int lane = 0; lane < kLanes; ++lane) {
      V old;
      std::memcpy(&old, c + lane * kWidth, sizeof(V));
      old += sum[r][lane];
      std::memcpy(c + lane * kWidth, &old, sizeof(V));
    }
  }
}

template <class T, int kLanes>
LOTFORMER_INLINE void product_columns(const RowProduct<T>& p, int64_t column) {
  int64_t row = 0;
  for (; row + 4 <= p.rows; row += 4) product_block<T, 4, kLanes>(p, row, column);
  for (; row < p.rows; ++row) product_block<T, 1, kLanes>(p, row, column);
}

/// The last columns, fewer than one vector.
template <class T>
LOTFORMER_INLINE void product_rest(const RowProduct<T>& p, int64_t column) {
  const int64_t count = p.columns - column;
  for (int64_t i = 0; i < p.rows; ++i) {
    T sum[Lanes<T>::kCount] = {};
    for (int64_t j = 0; j < p.inner; ++j) {
      const T* b = p.b + (p.b_index ? p.b_index[j] : j) * p.b_row + column;
      const T factor = p.a[i * p.a_row + j * p.a_inner];
      for (int64_t k = 0; k < count; ++k) sum[k] += factor * b[k];
    }
    T* c = p.c + (p.c_index ? p.c_index[i] : i) * p.c_row + column;
    for (int64_t k = 0; k < count; ++k) c[k] += sum[k];
  }
}

template <class T>
LOTFORMER_INLINE void product(const RowProduct<T>& p) {
  constexpr int64_t kWidth = Lanes<T>::kCount;
  int64_t column = 0;
  for (; column + 2 * kWidth <= p.columns; column += 2 * kWidth) product_columns<T, 2>(p, column);
  for (; column + kWidth <= p.columns; column += kWidth) product_columns<T, 1>(p, column);
  if (column < p.columns) product_rest(p, column);
}

template <class T>
LOTFORMER_INLINE void distances_of(const TokenTile<T>& tile, T* out) {
  for (int64_t j = 0; j < tile.n; ++j) {
    T sum[kTileTokens] = {};
    for (int64_t k = 0; k < tile.dim; ++k) {
      const T y = tile.y[j * tile.dim + k];
      const T* x = tile.x + k * kTileTokens;
      for (int64_t i = 0; i < kTileTokens; ++i) sum[i] += (x[i] - y) * (x[i] - y);
    }
    for (int64_t i = 0; i < kTileTokens; ++i) out[j * kTileTokens + i] = std::sqrt(sum[i]);
  }
}

template <class T>
LOTFORMER_INLINE T lane_sum(const typename Lanes<T>::Type& v) {
  T sum = 0;
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) sum += v[i];
  return sum;
}

template <class T>
LOTFORMER_INLINE void pull_tokens(const TokenTile<T>& tile, const T* pull, T* dx, T* dy) {
  using V = typename Lanes<T>::Type;
  constexpr int64_t kWidth = Lanes<T>::kCount;
  for (int64_t j = 0; j < tile.n; ++j) {
    for (int64_t k = 0; k < tile.dim; ++k) {
      const T y = tile.y[j * tile.dim + k];
      V total = {};
      for (int64_t i = 0; i < kTileTokens; i += kWidth) {
        V x, factor, gradient;
        std::memcpy(&x, tile.x + k * kTileTokens + i, sizeof(V));
        std::memcpy(&factor, pull + j * kTileTokens + i, sizeof(V));
        std::memcpy(&gradient, dx + k * kTileTokens + i, sizeof(V));
        factor *= x - y;
        gradient += factor;
        total += factor;
        std::memcpy(dx + k * kTileTokens + i, &gradient, sizeof(V));
      }
      dy[j * tile.dim + k] -= lane_sum<T>(total);
    }
  }
}

template <class T>
LOTFORMER_INLINE void dots(int64_t rows, const T* a, const T* b, const int64_t* b_index, T* out) {
  using V = typename Lanes<T>::Type;
  for (int64_t row = 0; row < rows; ++row) {
    V total = {};
    for (int64_t i = 0; i < kTileTokens; i += Lanes<T>::kCount) {
      V left, right;
      std::memcpy(&left, a + row * kTileTokens + i, sizeof(V));
      std::memcpy(&right, b + b_index[row] * kTileTokens + i, sizeof(V));
      total += left * right;
    }
    out[row] = lane_sum<T>(total);
  }
}

// One set of entry points for every instruction set; the templates above are inlined into each.
#define LOTFORMER_KERNELS(NAME, TARGET, T)                                                                  \
  struct NAME {                                                                                             \
    TARGET static void multiply(const RowProduct<T>& p) { product(p); }                                     \
    TARGET static void measure(const TokenTile<T>& t, T* out) { distances_of(t, out); }                     \
    TARGET static void pull(const TokenTile<T>& t, const T* p, T* dx, T* dy) { pull_tokens(t, p, dx, dy); } \
    TARGET static void inner(int64_t n, const T* a, const T* b, const int64_t* i, T* out) {                 \
      dots(n, a, b, i, out);                                                                                \
    }                                                                                                       \
  };

template <class T>
struct Table {
  void (*multiply)(const RowProduct<T>&);
  void (*measure)(const TokenTile<T>&, T*);
  void (*pull)(const TokenTile<T>&, const T*, T*, T*);
  void (*inner)(int64_t, const T*, const T*, const int64_t*, T*);
};

template <class T, class Kernels>
Table<T> table_of() {
  return {&Kernels::multiply, &Kernels::measure, &Kernels::pull, &Kernels::inner};
}

LOTFORMER_KERNELS(BaseFloat, , float)
LOTFORMER_KERNELS(BaseDouble, , double)
LOTFORMER_KERNELS(Avx2Float, LOTFORMER_TARGET("avx2,fma"), float)
LOTFORMER_KERNELS(Avx2Double, LOTFORMER_TARGET("avx2,fma"), double)
LOTFORMER_KERNELS(Avx512Float, LOTFORMER_TARGET("avx512f,avx512dq,avx512vl,avx2,fma"), float)
LOTFORMER_KERNELS(Avx512Double, LOTFORMER_TARGET("avx512f,avx512dq,avx512vl,avx2,fma"), double)

template <class T, class Base, class Avx2, class Avx512>
const Table<T>& best_table() {
  static const Table<T> kTable = [] {
    switch (instruction_set()) {
      case InstructionSet::avx512:
        return table_of<T, Avx512>();
      case InstructionSet::avx2:
        return table_of<T, Avx2>();
      case InstructionSet::base:
        break;
    }
    return table_of<T, Base>();
  }();
  return kTable;
}

const Table<float>& table(float) {
  return best_table<float, BaseFloat, Avx2Float, Avx512Float>();
}
const Table<double>& table(double) {
  return best_table<double, BaseDouble, Avx2Double, Avx512Double>();
}

}  // namespace

template <class T>
void accumulate(const RowProduct<T>& p) {
  table(T()).multiply(p);
}
template <class T>
void distances(const TokenTile<T>& tile, T* out) {
  table(T()).measure(tile, out);
}
template <class T>
void distance_gradient(const TokenTile<T>& tile, const T* pull, T* dx, T* dy) {
  table(T()).pull(tile, pull, dx, dy);
}
template <class T>
void tile_dots(int64_t rows, const T* a, const T* b, const int64_t* b_index, T* out) {
  table(T()).inner(rows, a, b, b_index, out);
}

template void accumulate<float>(const RowProduct<float>&);
template void accumulate<double>(const RowProduct<double>&);
template void distances<float>(const TokenTile<float>&, float*);
template void distances<double>(const TokenTile<double>&, double*);
template void distance_gradient<float>(const TokenTile<float>&, const float*, float*, float*);
template void distance_gradient<double>(const TokenTile<double>&, const double*, double*, double*);
template void tile_dots<float>(int64_t, const float*, const float*, const int64_t*, float*);
template void tile_dots<double>(int64_t, const double*, const double*, const int64_t*, double*);

}  // namespace lotformer::ops
