// SPDX-License-Identifier: MIT
// What the generators stand on: portable functions, threads, PNG files.
#include <atomic>
#include <cmath>
#include <set>

#include "data/generate/parallel.h"
#include "data/generate/portable_math.h"
#include "data/generate/words.h"
#include "data/tasks/png.h"
#include "lotformer/data/png_writer.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

TEST_CASE("portable functions agree with the C library to 1e-15") {
  for (int i = -4000; i <= 4000; ++i) {
    const double turns = i / 997.0;
    const double angle = (turns - std::round(turns)) * 2 * M_PI;
    CHECK(std::abs(portable::sin_turns(turns) - std::sin(angle)) < 2e-15);
    CHECK(std::abs(portable::cos_turns(turns) - std::cos(angle)) < 4e-15);
    const double x = i / 10.0;
    CHECK(std::abs(portable::exp(x) / std::exp(x) - 1) < 2e-15);
  }
  CHECK(portable::sin_turns(0.25) == 1);
  CHECK(portable::sin_turns(0.5) == 0);
  CHECK(portable::cos_turns(0.25) == 0);
  CHECK(portable::exp(0) == 1);
}

TEST_CASE("portable normal numbers have mean 0, variance 1 and two thirds within 1") {
  Rng rng(5);
  double sum = 0, squares = 0;
  int within = 0;
  constexpr int kNumbers = 100000;
  for (int i = 0; i < kNumbers; ++i) {
    const double z = portable::normal(rng);
    sum += z;
    squares += z * z;
    within += std::abs(z) < 1 ? 1 : 0;
  }
  CHECK(std::abs(sum / kNumbers) < 0.012);
  CHECK(squares / kNumbers == Catch::Approx(1).margin(0.02));
  CHECK(within / double{kNumbers} == Catch::Approx(0.683).margin(0.01));
}

TEST_CASE("parallel pieces: each once, the first error comes through") {
  std::vector<std::atomic<int>> calls(1000);
  for_each_in_parallel(1000, [&](int64_t i) { ++calls[static_cast<size_t>(i)]; });
  for (const auto& count : calls) CHECK(count == 1);
  CHECK(error_of([] {
          for_each_in_parallel(100, [](int64_t i) {
            if (i == 3) throw Error(ErrorKind::disk, "no more");
          });
        }) == "5: no more");
  for_each_in_parallel(0, [](int64_t) { FAIL("called"); });
}

TEST_CASE("made-up words differ from each other and keep to their letters") {
  Rng rng(1);
  const auto words = make_words(rng, 40, "kqz", 2);
  CHECK(std::set<std::string>(words.begin(), words.end()).size() == 40);
  for (const std::string& word : words) CHECK(word.find_first_not_of("kqzaeiou") == std::string::npos);
}

TEST_CASE("PNG files of ours are read back by libpng, checksums verified") {
  Rng rng(9);
  for (const uint32_t edge : {1U, 2U, 3U, 32U, 100U, 256U}) {
    for (const uint64_t kind : {0U, 1U, 2U, 3U}) {  // black, noise, few levels, long runs
      std::vector<uint8_t> pixels(size_t{edge} * edge);
      uint8_t level = 0;
      for (uint8_t& pixel : pixels) {
        if (kind == 1 || (kind == 3 && rng.below(300) == 0)) level = static_cast<uint8_t>(rng.below(256));
        if (kind == 2) level = static_cast<uint8_t>(100 * rng.below(3));
        pixel = level;
      }
      const std::string file = encode_png(pixels, edge, edge);
      std::vector<uint8_t> decoded(pixels.size());
      CHECK(decode_grey_png(file, edge, decoded) == "");
      CHECK(decoded == pixels);
      if (kind == 0 && edge == 256) CHECK(file.size() < 700);
    }
  }
  CHECK(error_of([] { encode_png(std::vector<uint8_t>(5), 2, 3); }) ==
        "70: encode_png: pixels do not fill the picture");
}

}  // namespace
}  // namespace lotformer::data::test
