// SPDX-License-Identifier: MIT
// Lengths instead of masks: a mask is made here, where ATen wants one, and padding is *selected* away.
// Multiplying by zero would let a NaN or an infinity in padding through.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace lotformer::ops {

/// bool [B, N], true where token i of sequence b is real (i < lengths[b]); undefined when `lengths` is: every
/// token is real.
at::Tensor length_mask(const at::Tensor& lengths, int64_t tokens);

/// `mask` with the sequences that have no real token marked real throughout. Their problem is then an
/// ordinary one over zeroed tokens, without a division by zero; the caller selects its result away. Undefined
/// stays undefined.
at::Tensor fill_empty_sequences(const at::Tensor& mask);

/// x [B, H, N, D] with zeros at padded tokens, gradients there zero as well. An undefined mask returns x
/// itself.
at::Tensor select_real_tokens(const at::Tensor& x, const at::Tensor& mask);

/// The contract of AttentionImpl::forward. Error(internal) with one sentence, prefixed by `name`, when
/// shapes, dtypes or devices disagree.
void check_attention_inputs(std::string_view name, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const at::Tensor& lengths);

}  // namespace lotformer::ops
