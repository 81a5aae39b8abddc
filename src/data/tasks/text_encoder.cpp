// SPDX-License-Identifier: MIT
#include "data/tasks/text_encoder.h"

#include <algorithm>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

/// The numbering that store() left. False when it is none of ours.
bool load_table(const CacheFooter& footer, CharacterVocabulary& vocabulary) {
  const auto& extras = footer.extras;
  if (extras[0] >= extras.size()) return false;
  std::vector<char32_t> table;
  for (size_t i = 1; i <= extras[0]; ++i) {
    if (extras[i] > 0x10FFFF) return false;
    table.push_back(static_cast<char32_t>(extras[i]));
  }
  return vocabulary.set_table(std::move(table));
}

}  // namespace

std::vector<Conflict> text_conflicts(const DataOptions& options) {
  if (!options.append_eos || options.tokenizer == "char") return {};
  return {{{"data.append_eos", "data.tokenizer"},
           "the byte tokeniser has no end token; set tokenizer to char or append_eos to false"}};
}

TextEncoder::TextEncoder(const TaskLength& length, uint64_t least_frequency, const DataOptions& options)
    : by_character_(options.tokenizer == "char"),
      max_length_(length.longest(options)),
      least_frequency_(least_frequency) {}

std::string TextEncoder::name() const {
  return concat(by_character_ ? "char-" : "byte-", max_length_);
}

std::string TextEncoder::numbering() const {
  std::string text;
  for (const char32_t character : vocabulary_.table()) text += concat(static_cast<uint32_t>(character), ",");
  return text;
}

Vocabulary TextEncoder::vocabulary() const {
  Vocabulary result{Vocabulary::Kind::text, {"<pad>"}};
  if (by_character_) {
    result.tokens.insert(result.tokens.end(), {"<unk>", "<end>"});
    for (const char32_t character : vocabulary_.table()) result.tokens.push_back(encode_utf8(character));
  } else {
    for (int byte = 0; byte < 256; ++byte) result.tokens.emplace_back(1, static_cast<char>(byte));
  }
  return result;
}

bool TextEncoder::count(std::string_view text) {
  if (!decode_utf8(text, characters_)) return false;
  vocabulary_.count(std::span(characters_).first(std::min(characters_.size(), room())));
  return true;
}

void TextEncoder::number(const std::string& where) {
  if (vocabulary_.number(least_frequency_)) return;
  throw DataError::at_file(where,
                           concat("tokenizer char: more than ", CharacterVocabulary::kMost,
                                  " different characters in the training split; use the byte tokeniser"));
}

void TextEncoder::store(CacheBuilder& builder) const {
  const auto& table = vocabulary_.table();
  builder.set_extra(0, table.size());
  for (size_t i = 0; i < table.size(); ++i) builder.set_extra(i + 1, table[i]);
}

void TextEncoder::load(const Cache& cache) {
  if (!load_table(cache.footer, vocabulary_))
    throw Error(ErrorKind::internal, "the character table of a cache is not one of ours");
}

CacheLimits TextEncoder::limits(bool train) const {
  CacheLimits limits{.classes = 2,
                     .longest = static_cast<uint64_t>(max_length_),
                     .vocabulary = fixed_vocabulary(vocab_size())};
  if (by_character_ && train) {
    limits.vocabulary = [](const CacheFooter& footer) {
      CharacterVocabulary stored;
      return load_table(footer, stored) ? static_cast<uint64_t>(stored.size()) : 0;
    };
  }
  return limits;
}

std::optional<TextEncoder::Encoded> TextEncoder::encode(std::string_view text) {
  if (!by_character_) {
    const size_t kept = std::min(text.size(), room());
    return Encoded{{reinterpret_cast<const uint8_t*>(text.data()), kept},
                   static_cast<uint32_t>(text.size()),
                   kept < text.size()};
  }
  if (!decode_utf8(text, characters_)) return std::nullopt;
  ids_.clear();
  const size_t kept = std::min(characters_.size(), room());
  for (size_t i = 0; i < kept; ++i) ids_.push_back(vocabulary_.id(characters_[i]));
  ids_.push_back(CharacterVocabulary::kEnd);
  return Encoded{ids_, static_cast<uint32_t>(characters_.size()), kept < characters_.size()};
}

}  // namespace lotformer::data
