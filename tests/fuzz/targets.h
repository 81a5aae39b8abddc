// SPDX-License-Identifier: MIT
// Parsers of files that strangers made, as functions of bytes. Whatever the bytes, they return or throw
// an Error of kind data with one line; anything else (another exception, a sanitizer's finding) is a defect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace lotformer::fuzz {

void listops_tsv(std::span<const uint8_t> bytes);
void retrieval_tsv(std::span<const uint8_t> bytes);
void cifar(std::span<const uint8_t> bytes);
void png(std::span<const uint8_t> bytes);
void metadata(std::span<const uint8_t> bytes);
void cache_header(std::span<const uint8_t> bytes);
void provenance(std::span<const uint8_t> bytes);

/// A promise that a reader made about what it hands on, which programs use without another look.
inline void demand(bool holds) {
  if (!holds) std::abort();
}

struct Target {
  const char* name;
  void (*run)(std::span<const uint8_t>);
};
inline const std::vector<Target>& targets() {
  static const std::vector<Target> table = {
      {"listops_tsv", listops_tsv}, {"retrieval_tsv", retrieval_tsv}, {"cifar", cifar},          {"png", png},
      {"metadata", metadata},       {"cache_header", cache_header},   {"provenance", provenance}};
  return table;
}

}  // namespace lotformer::fuzz
