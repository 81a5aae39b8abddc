// SPDX-License-Identifier: MIT
// Inner loops of the sliced operators on the CPU, compiled for the instruction sets of the last ten years and
// chosen at run time. float and double.
#pragma once

#include <cstdint>

namespace lotformer::ops {

/// c[i, :] += sum_j a[i, j] b[j, :] for small matrices whose rows lie anywhere.
template <class T>
struct RowProduct {
  int64_t rows, columns, inner;
  /// a[i, j] at i * a_row + j * a_inner.
  const T* a;
  int64_t a_row, a_inner;
  /// Row j at (b_index ? b_index[j] : j) * b_row, contiguous.
  const T* b;
  int64_t b_row;
  /// Row i at (c_index ? c_index[i] : i) * c_row, contiguous.
  T* c;
  int64_t c_row;
  const int64_t* b_index = nullptr;
  const int64_t* c_index = nullptr;
};

template <class T>
void accumulate(const RowProduct<T>& product);

/// A tile of kTileTokens tokens x against n tokens y. Arrays over the tile have the tile as last axis.
constexpr int64_t kTileTokens = 64;

template <class T>
struct TokenTile {
  /// [D, tile].
  const T* x;
  /// [n, D].
  const T* y;
  int64_t n, dim;
};

/// out[j, i] = |x_i - y_j|; differences first, so that equal tokens have distance 0.
template <class T>
void distances(const TokenTile<T>& tile, T* out);

/// With pull[j, i] = dL/d|x_i - y_j| / |x_i - y_j|: dx[k, i] += sum_j pull (x_i - y_j)_k, dy[j, k] -= sum_i
/// of the same.
template <class T>
void distance_gradient(const TokenTile<T>& tile, const T* pull, T* dx, T* dy);

/// out[row] = sum_i a[row, i] b[index[row], i] over a tile, rows of a contiguous.
template <class T>
void tile_dots(int64_t rows, const T* a, const T* b, const int64_t* b_index, T* out);

}  // namespace lotformer::ops
