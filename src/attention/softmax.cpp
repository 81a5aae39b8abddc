// SPDX-License-Identifier: MIT
#include "lotformer/attention/softmax.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "lotformer/ops/lengths.h"

namespace lotformer {

void SoftmaxOptions::visit(FieldVisitor& visitor) {
  visitor.field({.key = "mode",
                 .help = "masked: padded rows are zero; reference: padded query rows are computed like any "
                         "other, as published",
                 .choices = {"masked", "reference"}},
                mode);
}

SoftmaxAttentionImpl::SoftmaxAttentionImpl(const SoftmaxOptions& options, const AttentionShape& shape)
    : reference_(options.mode == "reference"), dropout_(shape.dropout) {}

at::Tensor SoftmaxAttentionImpl::forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                         const at::Tensor& lengths) {
  ops::check_attention_inputs("softmax", q, k, v, lengths);
  const at::Tensor mask = ops::length_mask(lengths, q.size(2));  // [B, N]
  const double dropout = is_training() ? dropout_ : 0.0;
  std::optional<at::Tensor> keys;
  if (mask.defined()) keys = ops::fill_empty_sequences(mask).unsqueeze(1).unsqueeze(1);  // [B, 1, 1, N]
  // A masked score is score - infinity, and NaN - infinity is NaN: padding has to go before, not only by the
  // mask.
  const at::Tensor out = at::scaled_dot_product_attention(reference_ ? q : ops::select_real_tokens(q, mask),
                                                          ops::select_real_tokens(k, mask),
                                                          ops::select_real_tokens(v, mask), keys, dropout);
  return reference_ ? out : ops::select_real_tokens(out, mask);
}

}  // namespace lotformer
