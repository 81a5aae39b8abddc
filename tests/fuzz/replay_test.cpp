// SPDX-License-Identifier: MIT
// The fuzzers' corpus, and quick random damage to it, without libFuzzer: part of every test run.
#include <algorithm>
#include <filesystem>

#include "lotformer/core/file_system.h"
#include "lotformer/core/rng.h"
#include "support/catch.h"
#include "targets.h"

namespace lotformer::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> corpus(const std::string& target) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(LOTFORMER_TEST_DATA) / "fuzz" / target))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<uint8_t> damaged(std::string bytes, Rng& rng) {
  const uint64_t changes = rng.below(4);
  for (uint64_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = rng.below(bytes.size());
    switch (rng.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        bytes.erase(at, 1 + rng.below(8));
        break;
      case 2:
        bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(40)));
        break;
      default:
        bytes.resize(at);
    }
  }
  return {bytes.begin(), bytes.end()};
}

TEST_CASE("fuzz corpus: every target takes every file of its corpus, whole and damaged") {
  constexpr int kTrials = 40;
  for (const Target& target : targets()) {
    INFO(target.name);
    const auto files = corpus(target.name);
    CHECK(files.size() >= 3);
    Rng rng(1);
    for (const fs::path& file : files) {
      INFO(file);
      const std::string bytes = read_file(file, ErrorKind::data);
      CHECK_NOTHROW(target.run({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
      for (int trial = 0; trial < kTrials; ++trial) CHECK_NOTHROW(target.run(damaged(bytes, rng)));
    }
  }
}

}  // namespace
}  // namespace lotformer::fuzz
