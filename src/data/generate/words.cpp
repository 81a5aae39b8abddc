// SPDX-License-Identifier: MIT
#include "data/generate/words.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <unordered_set>

#include "data/generate/portable_math.h"

namespace lotformer::data {

std::vector<std::string> make_words(Rng& rng, size_t count, std::string_view consonants, int syllables) {
  constexpr std::string_view kVowels = "aeiou";
  std::vector<std::string> words;
  std::unordered_set<std::string> seen;
  while (words.size() < count) {
    std::string word;
    for (int i = 0; i < syllables; ++i) {
      word += consonants[rng.below(consonants.size())];
      word += kVowels[rng.below(kVowels.size())];
    }
    if (rng.below(2) == 0) word += consonants[rng.below(consonants.size())];
    if (seen.insert(word).second) words.push_back(word);
  }
  return words;
}

size_t skewed_index(Rng& rng, size_t count) {
  const double u = rng.uniform();
  return static_cast<size_t>(u * u * static_cast<double>(count));
}

int64_t log_normal_length(Rng& rng, double median, double sigma, int64_t low, int64_t high) {
  const double length = median * portable::exp(sigma * portable::normal(rng));
  return std::clamp(static_cast<int64_t>(std::floor(length + 0.5)), low, high);
}

void Prose::add(std::string_view word) {
  constexpr uint64_t kSentence = 12, kComma = 10, kParagraph = 12, kForeign = 150;  // one in so many
  const size_t begin = text_.size();
  text_ += word;
  if (capital_) text_[begin] = static_cast<char>(std::toupper(static_cast<unsigned char>(text_[begin])));
  capital_ = false;
  if (rng_.below(kForeign) == 0) text_ += "\xC3\xA9";  // e with acute accent
  if (rng_.below(kSentence) == 0) {
    text_ += rng_.below(8) == 0 ? "!" : ".";
    capital_ = true;
    if (markup_ && rng_.below(kParagraph) == 0) text_ += "<br /><br />";
  } else if (rng_.below(kComma) == 0) {
    text_ += ',';
  }
  text_ += ' ';
}

std::string Prose::finish(size_t bytes) {
  text_.resize(bytes - 1, '.');
  // What the cut left of a character or a blank before the last full stop.
  for (size_t i = text_.size(); i > 0; --i) {
    char& last = text_[i - 1];
    if (last != ' ' && last != ',' && static_cast<unsigned char>(last) < 0x80) break;
    last = '.';
  }
  return std::move(text_) + ".";
}

}  // namespace lotformer::data
