// SPDX-License-Identifier: MIT
#include "data/tasks/listops_expression.h"

#include <algorithm>
#include <utility>

#include "lotformer/core/text.h"

namespace lotformer::data::listops {

uint8_t token_id(std::string_view text) {
  if (text.size() == 1) {  // nine tokens of ten
    const char c = text[0];
    if (c >= '0' && c <= '9') return static_cast<uint8_t>(kDigit0 + (c - '0'));
    return c == ']' ? kClose : kUnknown;
  }
  for (uint8_t id = kMin; id <= kSm; ++id) {
    if (kTokenText[id] == text) return id;
  }
  return kUnknown;
}

void Expression::begin() {
  open_ = 0;
  complete_ = false;
  depth_ = tokens_ = 0;
}

bool Expression::push(uint8_t token) {
  ++tokens_;
  if (complete_) {
    return fail(token == kClose ? "close bracket without operator"
                                : concat("token '", kTokenText[token],
                                         "' after the last close bracket of the expression"));
  }
  if (is_digit(token)) {
    depth_ = std::max(depth_, static_cast<int64_t>(open_) + 1);
    take_value(token - kDigit0);
  } else if (is_operator(token)) {
    open(token);
  } else {  // a close bracket
    if (open_ == 0) return fail("close bracket without operator");
    const Frame& frame = frames_[open_ - 1];
    if (frame.arguments == 0) {
      return fail(
          concat("close bracket directly after ", kTokenText[frame.op], ": at least one argument wanted"));
    }
    const int result = evaluate(frame);
    --open_;
    take_value(result);
  }
  return true;
}

bool Expression::finish() {
  if (tokens_ == 0) return fail("expression is empty: it has no token");
  if (!complete_) return fail(concat("operator without its close bracket (", open_, " missing at the end)"));
  return true;
}

void Expression::open(uint8_t op) {
  if (open_ == frames_.size()) frames_.emplace_back();
  frames_[open_++] = {op, 0, {}};
}

void Expression::take_value(int value) {
  if (open_ == 0) {
    value_ = value;
    complete_ = true;
    return;
  }
  Frame& frame = frames_[open_ - 1];
  ++frame.arguments;
  ++frame.counts[static_cast<size_t>(value)];
}

int Expression::evaluate(const Frame& frame) {
  const auto& counts = frame.counts;
  const auto kth = [&counts](uint32_t k) {  // k-th smallest value, from 0
    int value = 0;
    for (uint32_t below = counts[0]; below <= k; below += counts[static_cast<size_t>(value)]) ++value;
    return value;
  };
  switch (frame.op) {
    case kMin:
      return kth(0);
    case kMax:
      return kth(frame.arguments - 1);
    case kMed:
      return (kth((frame.arguments - 1) / 2) + kth(frame.arguments / 2)) / 2;
    default:
      break;
  }
  uint64_t sum = 0;
  for (size_t digit = 1; digit < counts.size(); ++digit) sum += digit * counts[digit];
  return static_cast<int>(sum % 10);
}

bool Expression::fail(std::string problem) {
  problem_ = std::move(problem);
  return false;
}

}  // namespace lotformer::data::listops
