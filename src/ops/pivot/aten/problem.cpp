// SPDX-License-Identifier: MIT
#include "problem.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <vector>

namespace lotformer::ops {

at::Tensor flatten_heads(const at::Tensor& x) {
  return x.flatten(0, 1);
}

at::Tensor repeat_for_batch(const at::Tensor& x, int64_t batch) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.insert(shape.begin(), batch);
  return x.unsqueeze(0).expand(shape).flatten(0, 1);
}

at::Tensor select_real_columns(const at::Tensor& x, const at::Tensor& mask) {
  return mask.defined() ? x.masked_fill(mask.logical_not().unsqueeze(1).unsqueeze(1), 0) : x;
}

TokenMarginal token_marginal(const at::Tensor& mask, const at::Tensor& q) {
  const int64_t batch = q.size(0), heads = q.size(1), tokens = q.size(2);
  if (!mask.defined())
    return {{}, at::full({batch * heads, 1}, 1.0 / static_cast<double>(tokens), q.options()), {}};
  const at::Tensor real =
      mask.to(q.scalar_type()).unsqueeze(1).unsqueeze(1).expand({batch, heads, 1, tokens});
  const at::Tensor problems = real.flatten(0, 1);  // [P, 1, N]
  return {problems, problems.sum(-1).reciprocal(), {}};
}

TokenMarginal side_marginal(const TokenMarginal& tokens, const at::Tensor& masses) {
  return {tokens.real, tokens.share, masses.defined() ? masses.unsqueeze(1) : masses};
}

TokenMarginal both_marginals(const TokenMarginal& tokens, const at::Tensor& query_masses,
                             const at::Tensor& key_masses) {
  const auto doubled = [](const at::Tensor& x) { return x.defined() ? at::cat({x, x}) : x; };
  TokenMarginal both{doubled(tokens.real), doubled(tokens.share), {}};
  if (!query_masses.defined() && !key_masses.defined()) return both;
  const int64_t width = (query_masses.defined() ? query_masses : key_masses).size(-1);
  const auto side = [&](const at::Tensor& masses) {
    return masses.defined() ? masses.unsqueeze(1) : tokens.a().expand({-1, 1, width});
  };
  both.masses = at::cat({side(query_masses), side(key_masses)});
  return both;
}

}  // namespace lotformer::ops
