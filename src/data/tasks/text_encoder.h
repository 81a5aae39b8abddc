// SPDX-License-Identifier: MIT
// From the bytes of a text to ids, for text and retrieval: bytes + 1, or Unicode characters.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/cache.h"
#include "data/tasks/characters.h"
#include "lotformer/data/task.h"

namespace lotformer::data {

/// A rule of the tasks of text: bytes have no end token.
std::vector<Conflict> text_conflicts(const DataOptions& options);

class TextEncoder {
 public:
  /// Characters of the training split rarer than `least_frequency` become the unknown token.
  TextEncoder(const TaskLength& length, uint64_t least_frequency, const DataOptions& options);

  bool by_character() const { return by_character_; }
  int64_t vocab_size() const { return by_character_ ? vocabulary_.size() : 257; }
  /// Longest sequence, end token included.
  int64_t max_length() const { return max_length_; }
  Vocabulary vocabulary() const;
  uint64_t id_offset() const { return by_character_ ? 0 : 1; }
  /// Part of a cache's file name, and of its identity.
  std::string name() const;
  std::string numbering() const;

  /// First pass over the training texts. False when `text` is not valid UTF-8.
  bool count(std::string_view text);
  /// After the last text. Error(data) when more characters are kept than ids fit in a byte.
  void number(const std::string& where);
  /// Keeps the numbering in the training cache, and reads it back.
  void store(CacheBuilder& builder) const;
  void load(const Cache& cache);

  struct Encoded {
    /// Valid until the next call, and no longer than `text`
    std::span<const uint8_t> ids;
    /// Before the cut, without end token.
    uint32_t full_length = 0;
    bool cut = false;
  };
  /// What a cache of ours says; that of the training split has the numbering of characters in it.
  CacheLimits limits(bool train) const;
  /// Nothing when characters are wanted and `text` is not valid UTF-8.
  std::optional<Encoded> encode(std::string_view text);

 private:
  size_t room() const { return static_cast<size_t>(max_length_ - (by_character_ ? 1 : 0)); }
  bool by_character_;
  int64_t max_length_;
  uint64_t least_frequency_;
  CharacterVocabulary vocabulary_;
  std::vector<char32_t> characters_;
  std::vector<uint8_t> ids_;
};

}  // namespace lotformer::data
