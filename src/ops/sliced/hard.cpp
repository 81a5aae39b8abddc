// SPDX-License-Identifier: MIT
// The limit tau -> 0 of sliced attention, in plain ATen: autograd differentiates it.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <limits>
#include <vector>

#include "lotformer/ops/lengths.h"
#include "lotformer/ops/sliced_attention.h"

namespace lotformer::ops {
namespace {

/// Token of each rank, [B, H, N, L]; padding comes last on both sides, so it meets only padding.
at::Tensor ranks(const at::Tensor& slices, const at::Tensor& mask) {
  const double last = -std::numeric_limits<double>::infinity();
  const at::Tensor values =
      mask.defined() ? slices.detach().masked_fill(mask.logical_not().unsqueeze(1).unsqueeze(-1), last)
                     : slices.detach();
  return values.argsort(/*stable=*/true, 2, /*descending=*/true);
}

/// Rows of x [B, H, N, D] in the order `token` [B, H, N].
at::Tensor rows_at(const at::Tensor& x, const at::Tensor& token) {
  return x.gather(2, token.unsqueeze(-1).expand({-1, -1, -1, x.size(3)}));
}

/// |x - y| over the last axis, derivative 0 at 0.
at::Tensor distance(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor squares = (x - y).square().sum(-1);
  const at::Tensor apart = squares.gt(0);
  const at::Tensor safe = at::where(apart, squares, at::full({}, 1, squares.options()));
  return at::where(apart, safe.sqrt(), at::zeros_like(squares));
}

}  // namespace

at::Tensor sliced_attention_hard(const SlicedInputs& inputs, const SlicedOptions& options) {
  if (inputs.v.numel() == 0 || inputs.x_slices.numel() == 0) return at::zeros_like(inputs.v);
  const at::Tensor mask = length_mask(inputs.lengths, inputs.v.size(2));
  const at::Tensor x = select_real_tokens(inputs.x, mask), y = select_real_tokens(inputs.y, mask),
                   v = select_real_tokens(inputs.v, mask);
  const at::Tensor x_ranks = ranks(inputs.x_slices, mask), y_ranks = ranks(inputs.y_slices, mask);
  const int64_t slices = x_ranks.size(3);
  const double beta = options.inverse_temperature;
  at::Tensor weights;  // [B, H, L]
  if (beta != 0) {
    std::vector<at::Tensor> costs;
    for (int64_t l = 0; l < slices; ++l) {
      costs.push_back(distance(rows_at(x, x_ranks.select(3, l)), rows_at(y, y_ranks.select(3, l))).sum(2));
    }
    weights = at::softmax(at::stack(costs, -1) * -beta, -1);
  }
  at::Tensor out = at::zeros_like(v);
  for (int64_t l = 0; l < slices; ++l) {
    // Token `a` of rank i receives the value of the key of rank i.
    const at::Tensor from = y_ranks.select(3, l), to = x_ranks.select(3, l);
    const at::Tensor source = at::zeros_like(from).scatter(2, to, from);
    const at::Tensor sent = rows_at(v, source);
    out = out + (weights.defined() ? sent * weights.select(2, l).unsqueeze(-1).unsqueeze(-1)
                                   : sent * (1 / static_cast<double>(slices)));
  }
  return select_real_tokens(out, mask);
}

}  // namespace lotformer::ops
