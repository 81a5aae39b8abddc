// SPDX-License-Identifier: MIT
// MD5 (RFC 1321), for one purpose: the order in which TensorFlow Datasets puts examples. Not for security.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lotformer::data {

/// The 16 bytes of the digest; comparing two arrays compares them as big-endian numbers.
std::array<uint8_t, 16> md5(std::string_view bytes);

}  // namespace lotformer::data
