// SPDX-License-Identifier: MIT
// What an attention map looks like from outside, for research. Every module is linear in V, so the map is
// probed with values of our choice: no N x N matrix, one forward and two backward calls.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace lotformer {

class AttentionImpl;

/// Named numbers, in the order in which they are logged. Those whose name ends in [] are the entries of one
/// list.
using Diagnostics = std::vector<std::pair<std::string, double>>;
/// The same before the host has read them: scalars of any type, on any device.
using DeviceDiagnostics = std::vector<std::pair<std::string, at::Tensor>>;
/// Waits for the device.
Diagnostics read_numbers(const DeviceDiagnostics& numbers);

/// Of any module in its present mode; q, k [B, H, N, D], lengths [B] or undefined. Over real tokens of
/// sequences that have any:
///   row_error, column_error  largest |sum - 1| over rows and over columns of the map
///   entropy                  mean over D rows a head, spread over the sequence, of -sum p log p, in nats
///                            (rows scaled to sum 1)
///   entropy_limit            mean of log(length): the entropy of plain averaging
///   effective_rank           exp(entropy of the normalised singular values) of the map times a Gaussian
///                            matrix of D columns: an estimate that cannot exceed D (modules that know better
///                            replace it)
/// Deterministic; draws nothing from torch's generators.
Diagnostics probe_attention(AttentionImpl& module, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& lengths);

/// exp(entropy) of non-negative numbers [..., K] scaled to sum 1, mean over the leading axes; 0 for an empty
/// tensor.
double effective_rank(const at::Tensor& singular_values);

}  // namespace lotformer
