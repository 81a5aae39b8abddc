// SPDX-License-Identifier: MIT
#include "lotformer/core/rng.h"

#include <numeric>
#include <random>
#include <utility>

namespace lotformer {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ULL;

uint64_t finalise(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t mix_seeds(uint64_t a, uint64_t b) {
  return finalise(finalise(a + kGolden) + b * kGolden + kGolden);
}

uint64_t Rng::next() {
  state_ += kGolden;
  return finalise(state_);
}

double Rng::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

uint64_t Rng::below(uint64_t bound) {
  const uint64_t limit = (UINT64_MAX / bound) * bound;
  uint64_t value = next();
  while (value >= limit) value = next();
  return value % bound;
}

std::vector<uint32_t> mt_permutation(uint32_t n, uint32_t seed) {
  std::vector<uint32_t> result(n);
  std::iota(result.begin(), result.end(), 0U);
  std::mt19937 generator(seed);
  for (uint32_t i = 0; i + 1 < n; ++i) {
    const auto z = static_cast<uint32_t>(generator() % (n - i));
    std::swap(result[i], result[i + z]);
  }
  return result;
}

}  // namespace lotformer
