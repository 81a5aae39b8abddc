// SPDX-License-Identifier: MIT
// Random numbers that decide data: defined here, bit for bit, on every platform. Nothing of <random> but
// std::mt19937's raw output is used, because distributions and std::shuffle differ between standard
// libraries.
#pragma once

#include <cstdint>
#include <vector>

namespace lotformer {

/// SplitMix64 finaliser over (a, b): a well-mixed 64-bit seed for every pair (Steele et al. 2014).
uint64_t mix_seeds(uint64_t a, uint64_t b);

/// SplitMix64 stream.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform integer in [0, bound), bound >= 1, without bias (rejection).
  uint64_t below(uint64_t bound);

 private:
  uint64_t state_;
};

/// Permutation of 0..n-1 by MT19937 and the exchange `swap(r[i], r[i + next32() % (n - i)])`, i = 0..n-2.
/// Equals LibTorch's CPU randperm for seed 42 and the sizes in the data contract.
std::vector<uint32_t> mt_permutation(uint32_t n, uint32_t seed);

}  // namespace lotformer
