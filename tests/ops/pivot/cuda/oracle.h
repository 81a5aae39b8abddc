// SPDX-License-Identifier: MIT
// The definition in float64, dense and without any of the core's ideas.
#pragma once

#include <vector>

#include "emulated_call.h"

namespace lotformer::ops::pivot::cuda::test {

/// The same call with inputs in float64, so that finite differences can move one of them.
struct Exact {
  explicit Exact(const Inputs& inputs);
  const Inputs& shape;
  std::vector<double> q, k, v, z, sigma, kappa;
  std::vector<double> masses[2];

  /// [batch, heads, tokens, head_dim]; padded rows 0.
  std::vector<double> output() const;
  /// sum(output * d_out) over real rows.
  double loss() const;
};

}  // namespace lotformer::ops::pivot::cuda::test
