// SPDX-License-Identifier: MIT
#include "data/tasks/characters.h"

#include <algorithm>
#include <utility>

namespace lotformer::data {
namespace {

constexpr char32_t kLast = 0x10FFFF;

/// Takes one character from the front of `text`; false when there is none.
bool take_character(std::string_view& text, char32_t& character) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) {
    character = first;
    text.remove_prefix(1);
    return true;
  }
  const size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};  // shorter forms are wanted below
  if (first < 0xC2 || first > 0xF4 || text.size() <= more) return false;
  character = first & (0x3FU >> more);
  for (size_t i = 1; i <= more; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0U) != 0x80) return false;
    character = (character << 6) | (byte & 0x3FU);
  }
  text.remove_prefix(more + 1);
  const bool surrogate = character >= 0xD800 && character <= 0xDFFF;
  return character >= kLeast[more] && character <= kLast && !surrogate;
}

}  // namespace

bool decode_utf8(std::string_view text, std::vector<char32_t>& characters) {
  characters.clear();
  while (!text.empty()) {
    char32_t character = 0;
    if (!take_character(text, character)) return false;
    characters.push_back(character);
  }
  return true;
}

std::string encode_utf8(char32_t character) {
  if (character < 0x80) return {static_cast<char>(character)};
  const int more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
  constexpr uint32_t kFirst[] = {0, 0xC0, 0xE0, 0xF0};
  std::string text = {static_cast<char>(kFirst[more] | (character >> (6 * more)))};
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80U | ((character >> (6 * i)) & 0x3FU));
  return text;
}

void CharacterVocabulary::count(std::span<const char32_t> characters) {
  for (const char32_t character : characters) ++counts_[character];
}

bool CharacterVocabulary::number(uint64_t least) {
  std::vector<std::pair<uint64_t, char32_t>> kept;
  for (const auto& [character, times] : counts_) {
    if (times >= least) kept.emplace_back(times, character);
  }
  if (kept.size() > kMost) return false;
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::vector<char32_t> table;
  for (const auto& [times, character] : kept) table.push_back(character);
  return set_table(std::move(table));
}

bool CharacterVocabulary::set_table(std::vector<char32_t> table) {
  ids_.clear();
  if (table.size() > kMost) return false;
  for (const char32_t character : table) {
    if (!ids_.emplace(character, static_cast<uint8_t>(kFirst + ids_.size())).second) return false;
  }
  table_ = std::move(table);
  return true;
}

uint8_t CharacterVocabulary::id(char32_t character) const {
  const auto it = ids_.find(character);
  return it == ids_.end() ? kUnknown : it->second;
}

}  // namespace lotformer::data
