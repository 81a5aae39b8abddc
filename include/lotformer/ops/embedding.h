// SPDX-License-Identifier: MIT
// Rows of a table by number, with a gradient that is the same in every run.
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer::ops {

/// table [V, C], ids int64 [T] in [0, V) -> [T, C]. On a GPU the gradient of a small table is a matrix
/// product (embedding_by_product), elsewhere torch's.
at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids);

/// The same values; the gradient is (one-hot rows [T, V])^T times the gradient [T, C]. torch's own sums the
/// tokens of an id in one sequence of steps, which takes long where an id has tens of thousands of them, as
/// those of a small vocabulary have.
at::Tensor embedding_by_product(const at::Tensor& table, const at::Tensor& ids);

}  // namespace lotformer::ops
