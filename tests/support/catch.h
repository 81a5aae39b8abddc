// SPDX-License-Identifier: MIT
// Catch2, version 2 or 3, with the few names that differ between them. Include torch headers before this
// file: both define CHECK.
#pragma once

#include <string>

#undef CHECK
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
namespace Catch {
using Detail::Approx;
}
#endif

namespace lotformer::test {

/// Matches a text that contains `part`.
inline auto contains_text(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

}  // namespace lotformer::test
