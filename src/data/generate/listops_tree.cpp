// SPDX-License-Identifier: MIT
#include "data/generate/listops_tree.h"

#include <algorithm>
#include <limits>

#include "data/tasks/listops_expression.h"

namespace lotformer::data::listops {

bool TreeDrawer::draw(uint64_t index) {
  rng_ = Rng(mix_seeds(seed_, index));
  tokens_.clear();
  pending_ = 1;
  operators_ = 0;
  return grow(1);
}

bool TreeDrawer::grow(int64_t depth) {
  constexpr double kOperatorProbability = 0.25;
  if (depth == max_depth_ || rng_.uniform() > kOperatorProbability) {
    tokens_.push_back(static_cast<uint8_t>(kDigit0 + rng_.below(10)));
    --pending_;
    return true;
  }
  const uint64_t arguments = 2 + rng_.below(max_args_ - 1);
  const size_t place = tokens_.size();
  tokens_.push_back(kPad);  // the operator: drawn after its arguments, as in the original
  ++operators_;
  pending_ += arguments;  // this node's own token has come, its close bracket has not
  if (tokens_.size() + pending_ >= max_length_) return false;
  for (uint64_t i = 0; i < arguments; ++i) {
    if (!grow(depth + 1)) return false;
  }
  tokens_[place] = static_cast<uint8_t>(kMin + rng_.below(4));
  tokens_.push_back(kClose);
  --pending_;
  return true;
}

void Notation::append(std::span<const uint8_t> tokens, std::string& out) {
  arguments_.assign(tokens.size(), 0);
  open_.clear();
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == kClose) {
      open_.pop_back();
    } else {
      if (!open_.empty()) ++arguments_[open_.back()];
      if (is_operator(tokens[i])) open_.push_back(i);
    }
  }
  size_t level = 0;  // open operators
  for (size_t i = 0; i < tokens.size(); ++i) {
    const uint8_t token = tokens[i];
    if (token == kClose) {
      --level;
      out += " ] )";
      if (level > 0) out += " )";
      continue;
    }
    if (level > 0) out += ' ';
    if (is_operator(token)) {
      for (uint32_t k = 0; k <= arguments_[i]; ++k) out += "( ";
      out += kTokenText[token];
      ++level;
    } else {
      out += kTokenText[token];
      if (level > 0) out += " )";
    }
  }
}

namespace {

using Counts = std::vector<double>;  // number of trees of each length 0..limit

Counts convolve(const Counts& a, const Counts& b) {
  Counts result(a.size(), 0.0);
  for (size_t i = 1; i < a.size(); ++i) {
    if (a[i] == 0) continue;
    for (size_t j = 1; i + j < b.size(); ++j) result[i + j] += a[i] * b[j];
  }
  for (double& value : result) value = std::min(value, 1e300);  // saturate: infinity times zero would be NaN
  return result;
}

/// Length of the largest tree, at most `limit`.
int64_t largest_length(const ListopsParameters& p, int64_t limit) {
  int64_t length = 1;
  for (int64_t depth = 2; depth <= p.max_depth && length < limit; ++depth)
    length = std::min(limit, 2 + p.max_args * length);
  return length;
}

}  // namespace

double distinct_trees(const ListopsParameters& p, double enough) {
  constexpr int64_t kCountable = 4096,
                    kOperations = 100'000'000;  // beyond, counting takes longer than it is worth
  const int64_t longest = largest_length(p, p.max_length - 1);
  if (longest <= p.min_length) return 0;
  if (longest > kCountable || p.max_args * longest * longest > kOperations)
    return std::numeric_limits<double>::infinity();
  const auto limit = static_cast<size_t>(longest);
  // f_1 = 10 digits of length 1;  f_d = f_1 + 4 operators * sum over k = 2..max_args of f_(d-1)^k, two tokens
  // longer.
  Counts trees(limit + 1, 0.0);
  trees[1] = 10;
  double accepted = 0;
  for (int64_t depth = 1;; ++depth) {
    const auto first = static_cast<size_t>(p.min_length + 1);
    accepted = 0;
    for (size_t length = first; length <= limit; ++length) accepted += trees[length];
    if (depth == p.max_depth || accepted >= enough) return accepted;
    Counts next(limit + 1, 0.0);
    next[1] = 10;
    Counts power = trees;
    for (int64_t k = 2; k <= p.max_args && k + 2 <= longest; ++k) {
      power = convolve(power, trees);
      for (size_t length = 1; length + 2 <= limit; ++length) next[length + 2] += 4 * power[length];
    }
    if (next == trees) return accepted;  // deeper trees would be too long
    trees = std::move(next);
  }
}

}  // namespace lotformer::data::listops
