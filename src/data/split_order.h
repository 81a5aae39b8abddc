// SPDX-License-Identifier: MIT
// Which example of a set without official splits goes where (data contract, sections 5 to 7).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::data {

/// 0..n-1 by rising MD5 of salt + key(i): the order of TensorFlow Datasets. Equal digests keep their order.
std::vector<uint32_t> tfds_order(uint32_t n, std::string_view salt,
                                 const std::function<std::string(uint32_t)>& key);

/// Permutation of `split: torch42`: what LibTorch's randperm gives for seed 42.
std::vector<uint32_t> torch42_order(uint32_t n);

/// 0..n-1.
std::vector<uint32_t> file_order(uint32_t n);

}  // namespace lotformer::data
