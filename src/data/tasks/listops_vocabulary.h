// SPDX-License-Identifier: MIT
// From default token ids to the ids that the options ask for (data contract, section 8).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/tasks/listops_expression.h"
#include "lotformer/data/task.h"

namespace lotformer::data::listops {

/// With vocab s4 the length of the S4 family.
inline constexpr TaskLength kLength = {.own = 2000, .with_s4 = 2048};

/// How rows become ids.
class Encoding {
 public:
  explicit Encoding(const DataOptions& options);

  bool needs_token_counts() const { return s4_; }
  /// `vocab: s4`: numbers the tokens by falling frequency in the training file, ties by the byte order of
  /// their text.
  void number_by_frequency(std::span<const uint64_t> counts);

  /// Replaces `ids` by the row's ids, cut to max_length and with the end token; returns whether tokens were
  /// lost.
  bool encode(std::span<const uint8_t> tokens, std::vector<uint8_t>& ids) const;

  int64_t vocab_size() const { return vocab_size_; }
  /// Text of each id; with `vocab: s4` only after number_by_frequency().
  std::vector<std::string> tokens() const;
  /// Longest row, end token included.
  int64_t max_length() const { return max_length_; }
  /// Names the options: part of a cache's file name.
  std::string name() const;
  /// The table default id -> id as text: part of a cache's identity.
  std::string numbering() const;

 private:
  static constexpr uint8_t kDropped = 255;
  bool alnum_, s4_, append_eos_;
  int64_t max_length_, vocab_size_;
  uint8_t eos_;
  std::array<uint8_t, kTokens> id_of_{};  // default id -> id
};

}  // namespace lotformer::data::listops
