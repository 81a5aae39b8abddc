// SPDX-License-Identifier: MIT
#include "lotformer/data/png_writer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lotformer/core/error.h"

namespace lotformer::data {
namespace {

/// Bits of a deflate stream (RFC 1951): numbers from their lowest bit on, Huffman codes from their highest.
class BitWriter {
 public:
  explicit BitWriter(std::string& out) : out_(out) {}
  void number(uint32_t value, int bits) {
    for (int i = 0; i < bits; ++i) bit((value >> i) & 1U);
  }
  void code(uint32_t value, int bits) {
    for (int i = bits - 1; i >= 0; --i) bit((value >> i) & 1U);
  }
  void finish() {
    while (filled_ != 0) bit(0);
  }

 private:
  void bit(uint32_t value) {
    current_ |= value << filled_;
    if (++filled_ < 8) return;
    out_ += static_cast<char>(current_);
    current_ = 0;
    filled_ = 0;
  }
  std::string& out_;
  uint32_t current_ = 0;
  int filled_ = 0;
};

/// Literal or length symbol in the fixed code (RFC 1951, 3.2.6).
void put_symbol(BitWriter& bits, uint32_t symbol) {
  if (symbol < 144) {
    bits.code(0x30 + symbol, 8);
  } else if (symbol < 256) {
    bits.code(0x190 + symbol - 144, 9);
  } else if (symbol < 280) {
    bits.code(symbol - 256, 7);
  } else {
    bits.code(0xC0 + symbol - 280, 8);
  }
}

/// "Repeat the last byte `length` times", 3..258.
void put_run(BitWriter& bits, uint32_t length) {
  constexpr std::array<uint32_t, 29> kBase = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                              31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  const auto next = std::upper_bound(kBase.begin(), kBase.end(), length);
  const auto index = static_cast<uint32_t>(next - kBase.begin()) - 1;
  const int extra = index < 8 || index == 28 ? 0 : static_cast<int>(index) / 4 - 1;
  put_symbol(bits, 257 + index);
  bits.number(length - kBase[index], extra);
  bits.code(0, 5);  // distance 1
}

void put_u32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((value >> shift) & 0xFFU);
}

/// zlib stream (RFC 1950) of `raw`.
std::string compress(std::string_view raw) {
  constexpr size_t kShortest = 3, kLongest = 258;
  std::string out = "\x78\x01";
  BitWriter bits(out);
  bits.number(1, 1);  // the only block
  bits.number(1, 2);  // fixed codes
  for (size_t i = 0; i < raw.size();) {
    size_t run = 0;
    if (i > 0) {
      while (run < kLongest && i + run < raw.size() && raw[i + run] == raw[i - 1]) ++run;
    }
    if (run >= kShortest) {
      put_run(bits, static_cast<uint32_t>(run));
      i += run;
    } else {
      put_symbol(bits, static_cast<uint8_t>(raw[i++]));
    }
  }
  put_symbol(bits, 256);
  bits.finish();
  uint32_t a = 1, b = 0;  // Adler-32
  for (const char byte : raw) {
    a = (a + static_cast<uint8_t>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  put_u32(out, b << 16 | a);
  return out;
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int k = 0; k < 8; ++k) value = (value & 1U) != 0 ? 0xEDB88320U ^ (value >> 1) : value >> 1;
    table[i] = value;
  }
  return table;
}

uint32_t crc32(std::string_view bytes) {
  static constexpr auto kTable = make_crc_table();
  uint32_t value = 0xFFFFFFFFU;
  for (const char byte : bytes) value = kTable[(value ^ static_cast<uint8_t>(byte)) & 0xFFU] ^ (value >> 8);
  return value ^ 0xFFFFFFFFU;
}

void put_chunk(std::string& out, std::string_view type, std::string_view content) {
  put_u32(out, static_cast<uint32_t>(content.size()));
  const size_t begin = out.size();
  out += type;
  out += content;
  put_u32(out, crc32(std::string_view(out).substr(begin)));
}

}  // namespace

std::string encode_png(std::span<const uint8_t> pixels, uint32_t width, uint32_t height) {
  if (width == 0 || height == 0 || pixels.size() != size_t{width} * height)
    throw Error(ErrorKind::internal, "encode_png: pixels do not fill the picture");
  std::string header;
  put_u32(header, width);
  put_u32(header, height);
  header += {8, 0, 0, 0, 0};  // bits, grey, deflate, adaptive filters, not interlaced
  std::string raw;
  raw.reserve((size_t{width} + 1) * height);
  for (uint32_t y = 0; y < height; ++y) {
    raw += '\0';  // row filter: none
    const auto row = pixels.subspan(size_t{y} * width, width);
    raw.append(reinterpret_cast<const char*>(row.data()), row.size());
  }
  std::string out = "\x89PNG\r\n\x1a\n";
  put_chunk(out, "IHDR", header);
  put_chunk(out, "IDAT", compress(raw));
  put_chunk(out, "IEND", "");
  return out;
}

}  // namespace lotformer::data
