// SPDX-License-Identifier: MIT
// `tokenizer: char`: Unicode characters numbered by frequency, as the S4 family does it (data contract,
// section 8).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lotformer::data {

/// Replaces `characters` by the characters of `text`. False when it is not valid UTF-8 (overlong forms,
/// surrogates and numbers above U+10FFFF included).
bool decode_utf8(std::string_view text, std::vector<char32_t>& characters);

/// UTF-8 of a character that decode_utf8() gave.
std::string encode_utf8(char32_t character);

/// Ids: 0 pads, 1 unknown, 2 end, then the characters by falling frequency, ties by code point.
class CharacterVocabulary {
 public:
  static constexpr uint8_t kUnknown = 1, kEnd = 2, kFirst = 3;
  /// Characters that have an id of their own: ids are bytes.
  static constexpr size_t kMost = 256 - kFirst;

  void count(std::span<const char32_t> characters);
  /// Numbers the characters counted at least `least` times. False when they are more than kMost.
  bool number(uint64_t least);
  /// The characters in the order of their ids, and back. False when the table cannot be one of ours.
  const std::vector<char32_t>& table() const { return table_; }
  bool set_table(std::vector<char32_t> table);

  uint8_t id(char32_t character) const;
  int64_t size() const { return kFirst + static_cast<int64_t>(table_.size()); }

 private:
  std::unordered_map<char32_t, uint64_t> counts_;
  std::unordered_map<char32_t, uint8_t> ids_;
  std::vector<char32_t> table_;
};

}  // namespace lotformer::data
