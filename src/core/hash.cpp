// SPDX-License-Identifier: MIT
#include "lotformer/core/hash.h"

#include <xxhash.h>

#include <fstream>
#include <vector>

namespace lotformer {
namespace {

std::string to_hex(const XXH128_hash_t& hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : canonical.digest) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->xxh);
}
Hasher::~Hasher() = default;
void Hasher::update(const void* data, size_t size) {
  XXH3_128bits_update(state_->xxh, data, size);
}
std::string Hasher::digest() const {
  return to_hex(XXH3_128bits_digest(state_->xxh));
}

std::string hash_bytes(std::string_view bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string hash_file(const std::filesystem::path& path, ErrorKind kind) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(kind, path.string() + ": cannot be opened for reading");
  Hasher hasher;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    hasher.update(buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) throw Error(kind, path.string() + ": read error");
  return hasher.digest();
}

}  // namespace lotformer
