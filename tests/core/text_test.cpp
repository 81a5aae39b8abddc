// SPDX-License-Identifier: MIT
#include "lotformer/core/text.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "support/catch.h"

namespace lotformer {
namespace {

TEST_CASE("text: doubles in the shortest form that reads back") {
  CHECK(format_double(0.1) == "0.1");
  CHECK(format_double(1.0) == "1");
  CHECK(format_double(-2.5e-300) == "-2.5e-300");
  for (const double value : {1.0 / 3.0, 1e23, 5e-324, std::numeric_limits<double>::max(), 0.1 + 0.2}) {
    CHECK(std::strtod(format_double(value).c_str(), nullptr) == value);
  }
  CHECK(format_fixed(3.14159, 2) == "3.14");
  CHECK(format_fixed(-0.5, 0) == "-0");
  CHECK(format_fixed(1e308, 1).size() > 300);
}

TEST_CASE("text: sizes, durations, counts") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes(int64_t{5} << 30) == "5.0 GiB");
  CHECK(format_bytes(int64_t{700} << 40) == "700 TiB");
  CHECK(format_duration(0.04) == "0.0s");
  CHECK(format_duration(41.4) == "41s");
  CHECK(format_duration(59.6) == "1m 00s");
  CHECK(format_duration(7500) == "2h 05m");
  CHECK(format_duration(-1) == "?");
  CHECK(format_duration(std::nan("")) == "?");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(-123456789) == "-123,456,789");
  CHECK(format_count(-123) == "-123");
}

TEST_CASE("text: the nearest word, and none when nothing is near") {
  const std::vector<std::string> words = {"epsilon", "pivots", "mode"};
  CHECK(nearest("epsilom", words) == "epsilon");
  CHECK(nearest("epsln", words) == "epsilon");
  CHECK(nearest("pivot", words) == "pivots");
  CHECK(nearest("temperature", words).empty());
  CHECK(nearest("", {}).empty());
}

TEST_CASE("text: quoting makes any bytes printable and short") {
  CHECK(quoted("abc") == "'abc'");
  CHECK(quoted(std::string_view("a\0b", 3)) == "'a\\x00b'");
  CHECK(quoted("\xFF\n") == "'\\xFF\\x0A'");
  CHECK(quoted(std::string(100, 'x'), 5) == "'xxxxx...'");
  CHECK(concat("a", 1, ":", 2.5) == "a1:2.5");
  CHECK(join({"a", "b", "c"}, ", ") == "a, b, c");
  CHECK(join({}, ", ").empty());
}

}  // namespace
}  // namespace lotformer
