// SPDX-License-Identifier: MIT
// XXH3-128 digests as 32 lower-case hex digits.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lotformer/core/error.h"

namespace lotformer {

std::string hash_bytes(std::string_view bytes);
std::string hash_file(const std::filesystem::path& path, ErrorKind kind);

/// Digest of a stream of pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void update(const void* data, size_t size);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  std::string digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lotformer
