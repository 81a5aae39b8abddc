// SPDX-License-Identifier: MIT
#include "lotformer/model/pooling.h"

#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/ops/lengths.h"

namespace lotformer {
namespace {

at::Tensor mean_of_tokens(const at::Tensor& x, const ops::TokenLayout& layout, bool padded) {
  if (!layout.lengths().defined()) return ops::padded_tokens(x, layout).mean(1);
  const at::Tensor sum = ops::sum_tokens(x, layout);
  if (padded) return sum / layout.width();
  return sum / layout.lengths().clamp_min(1).unsqueeze(1).to(x.scalar_type());
}

at::Tensor first_tokens(const at::Tensor& x, const ops::TokenLayout& layout) {
  if (!layout.is_packed()) return ops::padded_tokens(x, layout).select(1, 0);
  std::vector<int64_t> first(layout.starts().begin(), layout.starts().end() - 1);
  return x.index_select(0, at::tensor(first, x.options().dtype(at::kLong).requires_grad(false)));
}

/// One sequence after the other: what one softmax sees is never padded.
at::Tensor attend_packed(const at::Tensor& x, const at::Tensor& logits, const ops::TokenLayout& layout) {
  std::vector<int64_t> counts;
  for (size_t b = 0; b + 1 < layout.starts().size(); ++b)
    counts.push_back(layout.starts()[b + 1] - layout.starts()[b]);
  const auto tokens = x.split_with_sizes(counts), scores = logits.split_with_sizes(counts);
  std::vector<at::Tensor> pooled;
  for (size_t b = 0; b < counts.size(); ++b) {
    pooled.push_back(counts[b] == 0 ? at::zeros({x.size(1)}, x.options().requires_grad(false))
                                    : at::matmul(at::softmax(scores[b], 0), tokens[b]));
  }
  return at::stack(pooled);
}

at::Tensor attend_padded(const at::Tensor& rows, const at::Tensor& query, const ops::TokenLayout& layout) {
  const at::Tensor x = ops::padded_tokens(rows, layout), &lengths = layout.lengths();
  const at::Tensor logits = at::matmul(x, query);
  const at::Tensor mask = ops::length_mask(lengths, x.size(1));
  if (!mask.defined()) return at::matmul(at::softmax(logits, -1).unsqueeze(1), x).squeeze(1);
  // Padding is selected away, and an empty sequence, whose softmax would be over nothing, comes out as zeros.
  const at::Tensor padding = mask.logical_not(), unseen = ops::fill_empty_sequences(mask).logical_not();
  const at::Tensor weights =
      at::softmax(logits.masked_fill(unseen, -std::numeric_limits<double>::infinity()), -1);
  return at::matmul(weights.unsqueeze(1), x.masked_fill(padding.unsqueeze(2), 0)).squeeze(1);
}

}  // namespace

PoolingKind parse_pooling(const std::string& name) {
  if (name == "mean") return PoolingKind::mean;
  if (name == "padded_mean") return PoolingKind::padded_mean;
  if (name == "cls") return PoolingKind::cls;
  if (name == "attention") return PoolingKind::attention;
  throw Error(ErrorKind::internal, concat("model.pooling: ", quoted(name), " is no pooling"));
}

PoolingImpl::PoolingImpl(PoolingKind kind, int64_t dim) : kind_(kind) {
  if (kind == PoolingKind::attention) query = register_parameter("query", at::zeros({dim}));
}

at::Tensor PoolingImpl::forward(const at::Tensor& x, const ops::TokenLayout& layout) const {
  if (kind_ == PoolingKind::cls) return first_tokens(x, layout);
  if (kind_ != PoolingKind::attention) return mean_of_tokens(x, layout, kind_ == PoolingKind::padded_mean);
  const at::Tensor own_query = query.to(x.scalar_type());
  return layout.is_packed() ? attend_packed(x, at::matmul(x, own_query), layout)
                            : attend_padded(x, own_query, layout);
}

}  // namespace lotformer
