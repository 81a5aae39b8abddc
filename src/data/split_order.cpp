// SPDX-License-Identifier: MIT
#include "data/split_order.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "data/md5.h"
#include "lotformer/core/rng.h"

namespace lotformer::data {

std::vector<uint32_t> tfds_order(uint32_t n, std::string_view salt,
                                 const std::function<std::string(uint32_t)>& key) {
  std::vector<std::array<uint8_t, 16>> digests(n);
  for (uint32_t i = 0; i < n; ++i) digests[i] = md5(std::string(salt) + key(i));
  std::vector<uint32_t> order = file_order(n);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return digests[a] < digests[b]; });
  return order;
}

std::vector<uint32_t> torch42_order(uint32_t n) {
  return mt_permutation(n, 42);
}

std::vector<uint32_t> file_order(uint32_t n) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  return order;
}

}  // namespace lotformer::data
