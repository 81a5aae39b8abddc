// SPDX-License-Identifier: MIT
// Comparison of two calls of a LOT core.
#pragma once

#include <algorithm>

#include "attention/lot_core_support.h"
#include "support/attention_inputs.h"
// after torch
#include "support/catch.h"
#include "support/near.h"

namespace lotformer::test {

inline constexpr const char* kNames[] = {"out", "d_q", "d_k", "d_v", "d_pivots", "d_mass_logits"};

/// `tolerance` relative to the largest entry; where that is rounding noise itself (one pivot, one token), absolute.
inline void check_close(const LotResult& actual, const LotResult& expected, double tolerance) {
  for (size_t i = 0; i < actual.tensors.size(); ++i) {
    INFO(kNames[i]);
    const double largest = expected.tensors[i].abs().max().to(at::kDouble).item<double>();
    CHECK_NEAR(actual.tensors[i], expected.tensors[i], tolerance * std::max(largest, 1e-2));
  }
}

inline void check_same(const LotResult& a, const LotResult& b) {
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    INFO(kNames[i]);
    CHECK(same_bits(a.tensors[i], b.tensors[i]));
  }
}

}  // namespace lotformer::test
