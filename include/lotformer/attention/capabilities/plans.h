// SPDX-License-Identifier: MIT
// A capability of attention modules: showing the transport plans behind the map.
#pragma once

#include <ATen/core/Tensor.h>

namespace lotformer {

/// Transport plans behind a map, each of total mass 1, [B, H, r, N]: from queries to pivots, from pivots to
/// keys; zero at padding (except in `reference` modes).
struct TransportPlans {
  at::Tensor query, key;
};

/// A module that transports mass through pivots.
class HasPlans {
 public:
  virtual ~HasPlans() = default;
  /// Of the module's present mode; q, k [B, H, N, D], float32 or float64, lengths [B] or undefined.
  virtual TransportPlans transport_plans(const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& lengths) const = 0;
};

}  // namespace lotformer
