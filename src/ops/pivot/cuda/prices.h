// SPDX-License-Identifier: MIT
// What a Newton step of a resident solver costs in its Sinkhorn steps: newton_pays(..) of ../newton_rules.h.
// From the model of scripts/dev/kernel_calls.py (`--prices`), no measurement; R = 16 and 128 and 8 warps at R
// = 32 and 64 have no shape there and are set beside their neighbours. A price changes the course of a
// solver, and with it the last bits of a result, but not what it converges to.
#pragma once

namespace lotformer::ops::pivot::cuda {

/// Of R pivots and a CTA of `warps`.
constexpr float newton_price(int R, int warps) {
  switch (R) {
    case 4:
      return 1.6f;
    case 8:
      return 2;
    case 16:
      return 2.5f;
    case 32:
      return warps > 8 ? 6.0f : 5.0f;
    case 64:
      return warps > 8 ? 5.5f : 5.0f;
    default:
      return 5.5f;
  }
}

}  // namespace lotformer::ops::pivot::cuda
