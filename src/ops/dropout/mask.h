// SPDX-License-Identifier: MIT
// Which values dropout keeps: a function of (seed, place) and of nothing else, so that a backward pass
// computes the choice again instead of storing it, and threads share the work in any way.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lotformer::ops {

/// Integer hash whose output bits change with probability close to 1/2 for any flipped input bit (C. Wellons,
/// hash prospector).
[[gnu::always_inline]] inline uint32_t hash32(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  return x ^ (x >> 16);
}

/// One block of at most 2^32 values. A value is dropped with probability p in [0, 1), in steps of 2^-32; what
/// is kept is to be multiplied by scale() = 1 / (1 - p).
class DropoutMask {
 public:
  DropoutMask(uint64_t seed, double p)
      : low_(static_cast<uint32_t>(seed)),
        high_(static_cast<uint32_t>(seed >> 32)),
        threshold_(static_cast<uint32_t>(std::min(p * 4294967296.0, 4294967295.0))),
        scale_(1 / (1 - p)) {}
  [[gnu::always_inline]] bool keeps(uint32_t place) const {
    return hash32(hash32(place + low_) ^ high_) >= threshold_;
  }
  double scale() const { return scale_; }

 private:
  uint32_t low_, high_, threshold_;
  double scale_;
};

}  // namespace lotformer::ops
