// SPDX-License-Identifier: MIT
#include "lotformer/attention/softmax.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "lotformer/ops/lengths.h"
#include "lotformer/ops/softmax_dropout.h"

namespace lotformer {

void SoftmaxOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "mode",
                 .help = "masked: padded rows are zero; reference: padded query rows are computed like any "
                         "other, as published",
                 .choices = {"masked", "reference"}},
                mode);
}

SoftmaxAttentionImpl::SoftmaxAttentionImpl(const SoftmaxOptions& options, const AttentionShape& shape)
    : AttentionImpl("softmax", Compute::native),
      reference_(options.mode == "reference"),
      dropout_(shape.dropout) {}

at::Tensor SoftmaxAttentionImpl::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                        const at::Tensor& lengths) {
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));  // [B, N]
  const double dropout = is_training() ? dropout_ : 0.0;
  if (dropout > 0 && q.is_cpu()) {
    return ops::softmax_attention_with_dropout(q, k, v, lengths, /*padded_queries=*/reference_, dropout);
  }
  const at::Tensor filled = ops::fill_empty_sequences(mask);
  std::optional<at::Tensor> keys;
  if (mask.defined()) keys = filled.unsqueeze(1).unsqueeze(1);  // [B, 1, 1, N]
  // A masked score is score - infinity, and NaN - infinity is NaN: padding has to go before, not only by the
  // mask. As published, a sequence without a real token attends to its padding.
  const at::Tensor& visible = reference_ ? filled : mask;
  const at::Tensor out = at::scaled_dot_product_attention(reference_ ? q : ops::select_real_tokens(q, mask),
                                                          ops::select_real_tokens(k, visible),
                                                          ops::select_real_tokens(v, visible), keys, dropout);
  return reference_ ? out : ops::select_real_tokens(out, mask);
}

}  // namespace lotformer
