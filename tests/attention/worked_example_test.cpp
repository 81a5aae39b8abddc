// SPDX-License-Identifier: MIT
// docs/adding-an-attention.md shows the code of `linear` under another name: what it shows is what is
// compiled.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.h"

namespace lotformer {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(LOTFORMER_SOURCE_DIR "/" + path);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Code without comments and without any white space: how lines are broken does not matter.
std::string bare(const std::string& code) {
  std::string text = std::regex_replace(code, std::regex("//[^\n]*"), "");
  text.erase(std::remove_if(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c) != 0; }),
             text.end());
  return text;
}

/// The blocks marked as C++, with the names that `linear` has.
std::vector<std::string> examples(const std::string& page) {
  std::vector<std::string> blocks;
  std::istringstream lines(page);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    const bool fence = line.find("```") != std::string::npos;
    if (fence && !inside) blocks.emplace_back();
    if (!fence && inside) blocks.back() += line + "\n";
    if (fence && !inside && line.find("```cpp") == std::string::npos) blocks.back() = "not C++";
    if (fence) inside = !inside;
  }
  std::erase_if(blocks, [](const std::string& block) { return block.starts_with("not C++"); });
  for (std::string& block : blocks) {
    block = std::regex_replace(block, std::regex("Foo"), "Linear");
    block = std::regex_replace(block, std::regex("foo"), "linear");
  }
  return blocks;
}

TEST_CASE("adding an attention: the worked example is the code of `linear`, and short") {
  const std::vector<std::string> blocks = examples(text_of("docs/adding-an-attention.md"));
  REQUIRE(blocks.size() == 4);
  const std::string code = bare(text_of("include/lotformer/attention/linear.h")) + "\n" +
                           bare(text_of("src/attention/linear.cpp")) + "\n" +
                           bare(text_of("src/attention/registry.cpp"));
  int64_t lines = 0;
  for (const std::string& block : blocks) {
    INFO(block);
    CHECK(code.find(bare(block)) != std::string::npos);
    lines += std::count(block.begin(), block.end(), '\n');
  }
  CHECK(lines < 40);
}

}  // namespace
}  // namespace lotformer
