// SPDX-License-Identifier: MIT
// Grey PNG images, decoded by libpng with every checksum verified.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lotformer::data {

/// Decodes `file` into `pixels`, which holds edge * edge bytes, row by row. Returns "" or what is wrong: no
/// PNG, a wrong checksum, an early end, bytes or image data too many, another size than edge x edge, anything
/// but 8-bit grey. Nothing is allocated for a size that is not the wanted one.
std::string decode_grey_png(std::string_view file, int64_t edge, std::span<uint8_t> pixels);

}  // namespace lotformer::data
