// SPDX-License-Identifier: MIT
// Which pivots of one head a map hardly needs apart.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace lotformer {

/// Below it a pivot mass counts as this much.
inline constexpr double kLeastPivotMass = 1e-30;

/// Gram matrices G = sum_i a_i p_i p_i^T of both sides for E examples [E, r, r] and the pivot masses [r], all
/// float64.
struct HeadGrams {
  at::Tensor query, key;
  at::Tensor masses;
};

/// Singular values of the n x n map [E, r], descending: roots of the eigenvalues of the product of the two
/// scaled Gram matrices.
at::Tensor map_singular_values(const at::Tensor& query_gram, const at::Tensor& key_gram);

/// |dM|_F / |M|_F of the map, mean over the examples, when pivots j and k become one that has the masses and
/// plan columns of both: m / |M|_F sqrt(D_jk D'_jk) with m = s_j s_k / (s_j + s_k), D_jk = G_jj / s_j^2 - 2
/// G_jk / (s_j s_k) + G_kk / s_k^2. `norms` [E] = |M|_F. [r, r]; infinity on and below the diagonal.
at::Tensor merge_errors(const HeadGrams& grams, const at::Tensor& norms);

/// Greedy merges, the cheapest first.
struct Merges {
  /// After each merge [r - 1 - i, r]: 1 where an old pivot went into a new one.
  std::vector<at::Tensor> membership;
  /// Accumulated after each, an upper bound (triangle inequality).
  std::vector<double> error;
};

/// As many as keep at least `least` pivots and the accumulated error within `budget`.
Merges plan_merges(const HeadGrams& grams, int64_t least, double budget);

}  // namespace lotformer
