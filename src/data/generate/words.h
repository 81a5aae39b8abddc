// SPDX-License-Identifier: MIT
// Made-up words for the synthetic text tasks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/rng.h"

namespace lotformer::data {

/// `count` different words of `syllables` (consonant, vowel) pairs, perhaps with a consonant at the end.
std::vector<std::string> make_words(Rng& rng, size_t count, std::string_view consonants, int syllables);

/// An index below `count`; small ones are more frequent (density falling as 1 / (2 sqrt(x))), as with words.
size_t skewed_index(Rng& rng, size_t count);

/// exp(log(median) + sigma z), rounded and clipped; z as portable::normal.
int64_t log_normal_length(Rng& rng, double median, double sigma, int64_t low, int64_t high);

/// Running text: blanks, sentences with a capital and a full stop, commas, `<br /><br />`, multi-byte
/// characters now and then.
class Prose {
 public:
  Prose(Rng& rng, bool markup) : rng_(rng), markup_(markup) {}
  void add(std::string_view word);
  size_t size() const { return text_.size(); }
  /// Cuts or fills the text to exactly so many bytes, at least 1, the last of them a full stop.
  std::string finish(size_t bytes);

 private:
  Rng& rng_;
  bool markup_;
  bool capital_ = true;
  std::string text_;
};

}  // namespace lotformer::data
