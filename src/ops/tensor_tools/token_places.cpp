// SPDX-License-Identifier: MIT
#include "token_places.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor scattered(const at::Tensor& x, const at::Tensor& target, int64_t count) {
  // One row more than wanted takes what is no token.
  const at::Tensor all = at::zeros({count + 1, x.size(1)}, x.options().requires_grad(false));
  return all.index_copy_(0, target, x).narrow(0, 0, count);
}

/// Rows of `all` at `places`, zeros where `places` is beyond its end.
at::Tensor gathered_or_zero(const at::Tensor& all, const TokenPlaces& places) {
  const at::Tensor none = places.target.eq(all.size(0)).unsqueeze(1);
  return all.index_select(0, places.source).masked_fill_(none, 0);
}

struct GatherRows : torch::autograd::Function<GatherRows> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& all, const at::Tensor& source,
                            const at::Tensor& target) {
    ctx->save_for_backward({target});
    ctx->saved_data["count"] = all.size(0);
    return all.index_select(0, source);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const at::Tensor target = ctx->get_saved_variables()[0];
    return {scattered(upstream[0], target, ctx->saved_data["count"].toInt()), {}, {}};
  }
};

struct ScatterRows : torch::autograd::Function<ScatterRows> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& source,
                            const at::Tensor& target, int64_t count) {
    ctx->save_for_backward({source, target});
    return scattered(x, target, count);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const variable_list saved = ctx->get_saved_variables();
    return {gathered_or_zero(upstream[0], {saved[0], saved[1]}), {}, {}, {}};
  }
};

}  // namespace

TokenPlaces places_of_tokens(const at::Tensor& lengths, int64_t width, int64_t slots) {
  TORCH_CHECK_VALUE(width > 0 && slots > 0 && lengths.numel() > 0, "token places: ", lengths.numel(),
                    " sequences of width ", width, " in ", slots, " rows");
  const int64_t sequences = lengths.numel();
  const at::Tensor ends = lengths.cumsum(0), slot = at::arange(slots, lengths.options());
  const at::Tensor sequence = at::searchsorted(ends, slot, /*out_int32=*/false, /*right=*/true);
  const at::Tensor known = sequence.clamp_max(sequences - 1);
  const at::Tensor place = known * width + slot - (ends - lengths).index_select(0, known);
  const at::Tensor real = sequence < sequences;
  return {at::where(real, place, 0), at::where(real, place, sequences * width)};
}

at::Tensor gather_rows(const at::Tensor& all, const TokenPlaces& places) {
  return GatherRows::apply(all, places.source, places.target);
}

at::Tensor scatter_rows(const at::Tensor& x, const TokenPlaces& places, int64_t count) {
  return ScatterRows::apply(x, places.source, places.target, count);
}

}  // namespace lotformer::ops
