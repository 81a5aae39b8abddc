// SPDX-License-Identifier: MIT
// What forward and backward calls have in common: places of one problem in the tensors, prepared pivots,
// tasks. Only for core.inl.
#pragma once

#include "gluing.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// One (example, head).
struct Place {
  int64_t batch, head, index, count;  // index = batch * H + head of `count`
  int64_t of_side(int side) const { return side * count + index; }
};

template <class T>
PIVOT_INLINE T* at(const View<T>& view, const Place& place) {
  return view.data + place.batch * view.batch + place.head * view.head;
}

/// The side's row of masses, or null.
template <class T>
PIVOT_INLINE T* at(const Masses<T>& masses, const Place& place) {
  return masses.data ? masses.data + place.batch * masses.batch + place.head * masses.head : nullptr;
}

template <class T>
PIVOT_INLINE int64_t length_of(const Problem<T>& problem, const Place& place) {
  return problem.lengths ? problem.lengths[place.batch] : problem.tokens;
}

template <class T>
inline void clear_tokens(const View<T>& view, const Place& place, int64_t first, int64_t last, int64_t dim) {
  T* rows = at(view, place);
  for (int64_t t = first; t < last; ++t) std::memset(rows + t * view.token, 0, sizeof(T) * dim);
}

/// Every `step`-th of n masses times `scale`, zeros up to whole tiles; returns the sum of what was taken,
/// unscaled.
template <class T>
inline double pack_masses(const T* masses, int64_t step, int64_t n, double scale, T* packed) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += static_cast<double>(masses[i * step]);
    packed[i] = static_cast<T>(static_cast<double>(masses[i * step]) * scale);
  }
  for (int64_t i = n; i < tiles_of(n) * kTile; ++i) packed[i] = 0;
  return sum;
}

/// Logits are this times the inner product of token and pivot.
template <class T>
inline double logit_scale(const Problem<T>& problem) {
  return 1 / (__builtin_sqrt(static_cast<double>(problem.dim)) * problem.epsilon);
}

/// to[j][c] = scale z[j][c], rows of `stride`, zeros beyond d.
template <class T>
inline void scale_pivots(const T* z, const Shape<T>& shape, double scale, int64_t stride, T* to) {
  for (int64_t j = 0; j < shape.r; ++j) {
    for (int64_t c = 0; c < stride; ++c)
      to[j * stride + c] =
          c < shape.d ? static_cast<T>(static_cast<double>(z[j * shape.d + c]) * scale) : T(0);
  }
}

template <class From, class To>
inline void convert(const From* from, int64_t count, To* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
}
template <class T>
inline void add_to(const T* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}
/// [rows][stride] -> [rows][columns]
template <class T>
inline void narrow_rows(const T* from, int64_t rows, int64_t stride, int64_t columns, T* to) {
  for (int64_t j = 0; j < rows; ++j) std::memcpy(to + j * columns, from + j * stride, sizeof(T) * columns);
}
template <class T>
inline void widen_rows(const T* from, int64_t rows, int64_t columns, int64_t stride, T* to) {
  for (int64_t j = 0; j < rows; ++j) {
    for (int64_t c = 0; c < stride; ++c) to[j * stride + c] = c < columns ? from[j * columns + c] : T(0);
  }
}
template <class T>
inline double row_dot(const T* a, const T* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// work(place, executor for the inside of a problem) for every problem: problems side by side while they
/// suffice for the threads, else one after the other with its segments side by side.
template <class T, class Work>
inline void for_each_problem(const Problem<T>& problem, const Executor& executor, const Work& work) {
  const int64_t count = problem.batch * problem.heads;
  const bool inside = count < executor.threads;
  const auto task = [&](int64_t index) {
    const FlushDenormals flush;
    work(Place{index / problem.heads, index % problem.heads, index, count}, inside ? &executor : nullptr);
  };
  using Task = decltype(task);
  if (inside || executor.threads == 1) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  executor.run(
      count, [](void* context, int64_t i) { (*static_cast<Task*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(&task)));
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
