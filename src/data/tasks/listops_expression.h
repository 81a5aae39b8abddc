// SPDX-License-Identifier: MIT
// ListOps tokens and the grammar of their expressions, shared by the reader and the generator.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::data::listops {

/// Ids of the default vocabulary (data contract, section 2).
enum Token : uint8_t {
  kPad = 0,
  kMin = 1,
  kMax = 2,
  kMed = 3,
  kSm = 4,
  kClose = 5,
  kDigit0 = 6,
  kUnknown = 16
};
inline constexpr size_t kTokens = 17;
inline constexpr std::array<std::string_view, kTokens> kTokenText = {
    "<pad>", "[MIN", "[MAX", "[MED", "[SM", "]", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "<unk>"};

constexpr bool is_operator(uint8_t token) {
  return token >= kMin && token <= kSm;
}
constexpr bool is_digit(uint8_t token) {
  return token >= kDigit0 && token < kUnknown;
}

/// Id of a token's text, kUnknown for any other text.
uint8_t token_id(std::string_view text);

/// Takes the tokens of one expression in order, checks the grammar and evaluates it on the way:
///   expression = digit | operator expression+ close.
/// MIN, MAX: of the arguments; SM: sum modulo 10; MED: median, for an even count the mean of the middle two
/// rounded down.
class Expression {
 public:
  void begin();
  /// False when the token cannot stand here; problem() says why.
  bool push(uint8_t token);
  /// False when the expression is not complete.
  bool finish();
  const std::string& problem() const { return problem_; }

  /// After finish().
  int value() const { return value_; }
  /// Levels of the tree; a digit alone has depth 1.
  int64_t depth() const { return depth_; }
  int64_t tokens() const { return tokens_; }

 private:
  struct Frame {  // an operator whose close has not come yet
    uint8_t op;
    uint32_t arguments;
    std::array<uint32_t, 10> counts;  // of each digit among the arguments' values
  };
  static int evaluate(const Frame& frame);
  void open(uint8_t op);
  void take_value(int value);
  bool fail(std::string problem);

  std::vector<Frame> frames_;  // [0, open_) are in use; kept between rows to spare allocations
  size_t open_ = 0;
  bool complete_ = false;
  int value_ = 0;
  int64_t depth_ = 0, tokens_ = 0;
  std::string problem_;
};

}  // namespace lotformer::data::listops
