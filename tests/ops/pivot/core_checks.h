// SPDX-License-Identifier: MIT
// Comparison of two calls of pivot attention.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>

#include "ops/pivot/cpu/core_support.h"
#include "support/attention_inputs.h"
// after torch
#include "support/catch.h"
#include "support/near.h"

namespace lotformer::test {

inline constexpr const char* kNames[] = {
    "out", "d_q", "d_k", "d_v", "d_pivots", "d_mass_logits", "d_token_logits (first)", "(second)"};

/// `tolerance` relative to the largest entry; where that is rounding noise itself (one pivot, one token),
/// absolute.
inline void check_close(const PivotResult& actual, const PivotResult& expected, double tolerance) {
  for (size_t i = 0; i < actual.tensors.size(); ++i) {
    INFO(kNames[i]);
    const double largest = expected.tensors[i].abs().max().to(at::kDouble).item<double>();
    CHECK_NEAR(actual.tensors[i], expected.tensors[i], tolerance * std::max(largest, 1e-2));
  }
}

inline void check_same(const PivotResult& a, const PivotResult& b) {
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    INFO(kNames[i]);
    CHECK(same_bits(a.tensors[i], b.tensors[i]));
  }
}

/// NaN in the padding of x (whose lengths are given) changes no bit of what `call` gives, and padding gets
/// zeros.
inline void check_padding(const PivotCase& x, const std::function<PivotResult(const PivotCase&)>& call) {
  const PivotResult clean = call(x);
  PivotCase dirty = x;
  const int64_t batch = x.q.size(0), tokens = x.q.size(2);
  const at::Tensor padded =
      at::arange(tokens).unsqueeze(0).ge(x.lengths.unsqueeze(1)).view({batch, 1, tokens, 1});
  for (at::Tensor* t : {&dirty.q, &dirty.k, &dirty.v, &dirty.upstream})
    *t = t->masked_fill(padded, std::numeric_limits<double>::quiet_NaN());
  check_same(call(dirty), clean);
  for (size_t i = 0; i < 4; ++i)
    CHECK(clean.tensors[i].masked_select(padded).abs().max().item<double>() == 0);
}

}  // namespace lotformer::test
