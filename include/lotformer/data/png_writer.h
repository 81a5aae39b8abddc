// SPDX-License-Identifier: MIT
// Writes 8-bit grey PNG files. The compressor is our own (fixed Huffman codes, runs only), because the bytes
// that zlib makes differ between its versions and generated files must not.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace lotformer::data {

/// A whole PNG file of `pixels` [height * width], row by row. Error(internal) when the sizes do not agree.
std::string encode_png(std::span<const uint8_t> pixels, uint32_t width, uint32_t height);

}  // namespace lotformer::data
