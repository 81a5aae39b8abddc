// SPDX-License-Identifier: MIT
// Real tokens of a batch by index, on any device: which row of [B * N] each is, and rows carried there and
// back. Nothing is read from the device and no sum is made of several rows, so results have the same bits in
// every run, and a graph captures it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lotformer::ops {

/// Of `slots` rows, of which the first ones are tokens: see TokenLayout::source and target. int64 [slots].
struct TokenPlaces {
  at::Tensor source, target;
};
/// lengths int64 [B]
TokenPlaces places_of_tokens(const at::Tensor& lengths, int64_t width, int64_t slots);

/// all [places, C] -> [slots, C]; rows without a token are copies of row 0, and their gradient is dropped.
at::Tensor gather_rows(const at::Tensor& all, const TokenPlaces& places);
/// x [slots, C] -> [count, C], zeros where there is no token; rows without a token get gradient zero.
at::Tensor scatter_rows(const at::Tensor& x, const TokenPlaces& places, int64_t count);

}  // namespace lotformer::ops
