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
/// larger than 0.
Batch make_batch(const data::Dataset& dataset, std::span<const int64_t> rows, int64_t pad_to,
                 c10::Device device);

/// Real tokens of the rows, all sequences together.
int64_t count_tokens(const data::Dataset& dataset, std::span<const int64_t> rows);

}  // namespace lotformer
