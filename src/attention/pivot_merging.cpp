// SPDX-License-Identifier: MIT
#include "pivot_merging.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>

#include <limits>

namespace lotformer {
namespace {

/// diag(s)^(-1/2) G diag(s)^(-1/2)
at::Tensor scaled(const at::Tensor& gram, const at::Tensor& masses) {
  const at::Tensor scale = masses.clamp_min(kLeastPivotMass).rsqrt();
  return scale.unsqueeze(-1) * gram * scale.unsqueeze(-2);
}

/// D of one side [E, r, r].
at::Tensor distances(const at::Tensor& gram, const at::Tensor& masses) {
  const at::Tensor ratio = gram / (masses.unsqueeze(-1) * masses.unsqueeze(-2));
  const at::Tensor diagonal = ratio.diagonal(0, -2, -1);
  return (diagonal.unsqueeze(-1) - 2 * ratio + diagonal.unsqueeze(-2)).clamp_min(0);
}

}  // namespace

at::Tensor map_singular_values(const at::Tensor& query_gram, const at::Tensor& key_gram) {
  const auto [values, vectors] = at::linalg_eigh(query_gram);
  const at::Tensor root =
      at::matmul(vectors * values.clamp_min(0).sqrt().unsqueeze(-2), vectors.transpose(-2, -1));
  return at::linalg_eigvalsh(at::matmul(at::matmul(root, key_gram), root)).clamp_min(0).sqrt().flip(-1);
}

at::Tensor merge_errors(const HeadGrams& grams, const at::Tensor& norms) {
  const at::Tensor s = grams.masses.clamp_min(kLeastPivotMass);
  const at::Tensor weight = s.unsqueeze(-1) * s.unsqueeze(-2) / (s.unsqueeze(-1) + s.unsqueeze(-2));
  const at::Tensor change =
      (distances(grams.query, s) * distances(grams.key, s)).sqrt() * weight;  // [E, r, r]
  const at::Tensor error = (change / norms.view({-1, 1, 1})).mean(0);
  const at::Tensor above = at::ones_like(error).triu(1);
  return error.masked_fill(above.eq(0), std::numeric_limits<double>::infinity());
}

Merges plan_merges(const HeadGrams& grams, int64_t least, double budget) {
  HeadGrams now = grams;
  const at::Tensor norms =  // |M|_F^2 = trace of the product of the scaled Grams
      (scaled(now.query, now.masses) * scaled(now.key, now.masses))
          .sum({1, 2})
          .clamp_min(kLeastPivotMass)
          .sqrt();
  at::Tensor membership = at::eye(now.masses.size(0), now.masses.options());
  Merges merges;
  double spent = 0;
  while (now.masses.size(0) > least) {
    const at::Tensor errors = merge_errors(now, norms);
    const int64_t rank = now.masses.size(0), place = errors.argmin().item<int64_t>();
    const int64_t first = place / rank, second = place % rank;
    spent += errors[first][second].item<double>();
    if (!(spent <= budget)) break;  // a NaN ends it too
    at::Tensor combine = at::eye(rank, now.masses.options());
    combine[first][second] = 1;
    combine = at::cat({combine.narrow(0, 0, second), combine.narrow(0, second + 1, rank - second - 1)});
    const auto reduced = [&](const at::Tensor& gram) {
      return at::matmul(at::matmul(combine, gram), combine.transpose(0, 1));
    };
    now = {reduced(now.query), reduced(now.key), at::matmul(combine, now.masses)};
    membership = at::matmul(combine, membership);
    merges.membership.push_back(membership);
    merges.error.push_back(spent);
  }
  return merges;
}

}  // namespace lotformer
