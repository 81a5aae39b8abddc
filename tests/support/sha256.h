// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4) for checksums that documents give; the product itself uses XXH3.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::test {

/// First 32 bits of the fractional parts of the square (power 2) or cube (3) roots of the first primes.
inline std::vector<uint32_t> prime_roots(size_t count, int power) {
  std::vector<uint32_t> result;
  for (int n = 2; result.size() < count; ++n) {
    bool prime = true;
    for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
    if (!prime) continue;
    const long double root =
        power == 2 ? std::sqrt(static_cast<long double>(n)) : std::cbrt(static_cast<long double>(n));
    result.push_back(static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L));
  }
  return result;
}

inline void sha256_block(std::vector<uint32_t>& state, const char* block) {
  static const std::vector<uint32_t> k = prime_roots(64, 3);
  std::array<uint32_t, 64> w{};
  for (size_t i = 0; i < 64; ++i)
    w[i / 4] |= static_cast<uint32_t>(static_cast<uint8_t>(block[i])) << (24 - 8 * (i % 4));
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  std::vector<uint32_t> v = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25);
    const uint32_t s0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
    const uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
    const uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (size_t j = 7; j > 0; --j) v[j] = v[j - 1];
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (size_t j = 0; j < 8; ++j) state[j] += v[j];
}

/// 64 lower-case hex digits.
inline std::string sha256(std::string_view bytes) {
  std::string message(bytes);
  message += '\x80';
  message.resize((message.size() + 8 + 63) / 64 * 64, '\0');
  const uint64_t bits = 8 * static_cast<uint64_t>(bytes.size());
  for (size_t i = 0; i < 8; ++i) message[message.size() - 1 - i] = static_cast<char>(bits >> (8 * i));
  std::vector<uint32_t> state = prime_roots(8, 2);
  for (size_t at = 0; at < message.size(); at += 64) sha256_block(state, message.data() + at);
  std::string hex;
  for (const uint32_t word : state) {
    for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[(word >> shift) & 15U];
  }
  return hex;
}

}  // namespace lotformer::test
