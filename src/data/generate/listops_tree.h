// SPDX-License-Identifier: MIT
// Random ListOps trees. A candidate is a pure function of (seed, index), so an accepted tree is remembered by
// its index alone and drawn again when it is written: memory does not grow with the length of the
// expressions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lotformer/core/rng.h"
#include "lotformer/data/listops_generator.h"

namespace lotformer::data::listops {

/// Draws candidates:
///   tree(depth):  if depth < max_depth and u <= 0.25: k of 2..max_args, k subtrees, then an operator of MIN,
///   MAX, MED, SM
///                 else a digit.
class TreeDrawer {
 public:
  explicit TreeDrawer(const ListopsParameters& parameters)
      : max_depth_(parameters.max_depth),
        max_args_(static_cast<uint64_t>(parameters.max_args)),
        max_length_(static_cast<size_t>(parameters.max_length)),
        seed_(parameters.seed) {}

  /// Draws candidate `index`; false as soon as it is sure to have max_length tokens or more (tokens() is then
  /// a fragment).
  bool draw(uint64_t index);
  std::span<const uint8_t> tokens() const { return tokens_; }
  int64_t operators() const { return operators_; }

 private:
  bool grow(int64_t depth);
  int64_t max_depth_;
  uint64_t max_args_;
  size_t max_length_;
  uint64_t seed_;
  Rng rng_{0};
  std::vector<uint8_t> tokens_;
  size_t pending_ = 0;  // least number of tokens still to come
  int64_t operators_ = 0;
};

/// Appends expressions in the official notation: an operator with arguments a1..ak is `( ( ( ( O a1 ) a2 )
/// ... ak ) ] )`.
class Notation {
 public:
  void append(std::span<const uint8_t> tokens, std::string& out);
  /// Upper bound of the characters that append() writes.
  static int64_t max_characters(int64_t tokens, int64_t operators) {
    return (3 * tokens - 2) + (3 * tokens - 3) + 3 * operators;
  }

 private:
  std::vector<uint32_t> arguments_;  // of the operator at each position
  std::vector<uint32_t> open_;       // positions of the operators that are open
};

/// How many distinct trees have an accepted length (saturating; infinity when too many to count). 0: the
/// parameters allow none.
double distinct_trees(const ListopsParameters& parameters, double enough);

}  // namespace lotformer::data::listops
