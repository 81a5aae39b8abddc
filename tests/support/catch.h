// SPDX-License-Identifier: MIT
// Catch2, version 2 or 3. Include torch headers before this file: both define CHECK.
#pragma once

#undef CHECK
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
namespace Catch {
using Detail::Approx;
}
#endif
