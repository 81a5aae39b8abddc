// SPDX-License-Identifier: MIT
// Turns rows of a dataset into tensors. The only place where bytes become token ids.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <span>

#include "lotformer/data/dataset.h"
#include "lotformer/model/batch.h"

namespace lotformer {

/// The rows as one batch on `device`, padded with id 0 to the longest sequence, or to `pad_to` when that is
/// longer. `lengths` is undefined when every token is real because all rows have the fixed size of their
/// task. Where the dataset masks zeros (`mask_zero_pixels`) the pixels that are not black come first,
/// `lengths` counts them (a black image keeps one), and `positions` holds the places of all of them in the
/// image; the black ones follow with theirs, which only an attention that ignores lengths can see.
Batch make_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to,
                 c10::Device device);

/// The two halves of make_batch. The first runs no operator of torch, so that a thread may do it beside the
/// training: `width` tokens (see batch_width), in pinned memory or not. The second copies without waiting.
Batch make_host_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t width,
                      bool pinned);
Batch to_device(const Batch& batch, c10::Device device);

/// Tokens of the rows' batch: the longest sequence, or `pad_to` when that is longer.
int64_t batch_width(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to);

/// Real tokens of the rows, all sequences together.
int64_t count_tokens(const data::Dataset& dataset, std::span<const int64_t> rows);

}  // namespace lotformer
