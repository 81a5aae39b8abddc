// SPDX-License-Identifier: MIT
// The N x N map of a module, recovered from outside: every module is linear in V, so identity blocks as V
// return its columns.
#pragma once

#include <ATen/ATen.h>

#include "lotformer/attention/attention.h"

namespace lotformer::test {

/// q, k [B, H, N, D] -> map [B, H, N, N] with out = map v. Costs ceil(N / D) calls; gradients are not
/// recorded.
inline at::Tensor dense_map(AttentionImpl& module, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& lengths) {
  at::NoGradGuard no_grad;
  const int64_t tokens = q.size(2), width = q.size(3);
  const at::Tensor identity = at::eye(tokens, q.options().requires_grad(false));
  at::Tensor map = at::empty({q.size(0), q.size(1), tokens, tokens}, identity.options());
  for (int64_t first = 0; first < tokens; first += width) {
    const int64_t count = std::min(width, tokens - first);
    at::Tensor v = at::zeros_like(identity.narrow(1, 0, 1)).expand({tokens, width}).clone();
    v.narrow(1, 0, count).copy_(identity.narrow(1, first, count));
    const at::Tensor out = module.forward(q, k, v.expand_as(q), lengths);
    map.narrow(3, first, count).copy_(out.narrow(3, 0, count));
  }
  return map;
}

}  // namespace lotformer::test
