// SPDX-License-Identifier: MIT
// Gradients of what the problems of a batch have in common. Only for core.inl.
#pragma once

#include "problem.h"

namespace lotformer::ops::pivot::cpu {
namespace {

/// Gradients that several problems share, one row a problem; added up in order at the end.
template <class T>
struct SharedGradients {
  T *z, *sigma, *kappa;  // [B H, r, D], [B H, r], [B H, 2]
};

/// Gradients of a sequence without a token.
template <class T>
inline void clear_problem(const Problem<T>& problem, const Gradients<T>& gradients, const Place& place,
                          const SharedGradients<T>& shared) {
  const int64_t r = problem.pivots, d = problem.dim;
  for (const View<T>* view : {&gradients.q, &gradients.k, &gradients.v})
    clear_tokens(*view, place, 0, problem.tokens, d);
  std::memset(shared.z + place.index * r * d, 0, sizeof(T) * r * d);
  std::memset(shared.sigma + place.index * r, 0, sizeof(T) * r);
}

/// to[h][i] = sum over the batch, in order, of from[b][h][i].
template <class T>
inline void add_over_batch(const T* from, int64_t batch, int64_t count, T* to) {
  std::memset(to, 0, sizeof(T) * count);
  for (int64_t b = 0; b < batch; ++b) add_to(from + b * count, count, to);
}

template <class T>
inline void add_over_batch(const SharedGradients<T>& shared, const Problem<T>& problem,
                           const Gradients<T>& gradients) {
  add_over_batch(shared.z, problem.batch, problem.heads * problem.pivots * problem.dim, gradients.z);
  add_over_batch(shared.sigma, problem.batch, problem.heads * problem.pivots, gradients.sigma);
}

}  // namespace
}  // namespace lotformer::ops::pivot::cpu
