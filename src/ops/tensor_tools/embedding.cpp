// SPDX-License-Identifier: MIT
#include "lotformer/ops/embedding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/custom_function.h>

namespace lotformer::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Up to here the product, whose work grows with the table, is less than what it replaces.
constexpr int64_t kSmallTable = 512;

struct EmbeddingByProduct : torch::autograd::Function<EmbeddingByProduct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& table, const at::Tensor& ids) {
    ctx->save_for_backward({ids});
    ctx->saved_data["rows"] = table.size(0);
    return table.index_select(0, ids);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    const at::Tensor ids = ctx->get_saved_variables()[0], &d_out = upstream[0];
    const at::Tensor rows = at::arange(ctx->saved_data["rows"].toInt(), ids.options());
    const at::Tensor one_hot = ids.unsqueeze(0).eq(rows.unsqueeze(1)).to(d_out.scalar_type());  // [V, T]
    return {at::matmul(one_hot, d_out), {}};
  }
};

}  // namespace

at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids) {
  if (ids.is_cuda() && table.size(0) <= kSmallTable) return embedding_by_product(table, ids);
  return at::embedding(table, ids);
}

at::Tensor embedding_by_product(const at::Tensor& table, const at::Tensor& ids) {
  return EmbeddingByProduct::apply(table, ids);
}

}  // namespace lotformer::ops
