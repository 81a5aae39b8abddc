// SPDX-License-Identifier: MIT
#include "data/tasks/listops_reader.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "data/line_reader.h"
#include "data/tasks/listops_expression.h"
#include "lotformer/core/error.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data::listops {
namespace {

/// Reads the rows of one file; members are kept between rows to spare allocations.
class RowParser {
 public:
  RowParser(std::string name, bool verify_labels) : name_(std::move(name)), verify_labels_(verify_labels) {}

  Row parse(std::string_view line, int64_t number, bool cut_short) {
    line_ = number;
    const size_t tab = split_columns(line, cut_short);
    tokens_.clear();
    expression_.begin();
    parse_expression(line.substr(0, tab));
    const int label = parse_label(line.substr(tab + 1));
    if (verify_labels_ && label != expression_.value()) {
      fail(concat("label ", label, ", but the value of the expression is ", expression_.value()));
    }
    return {tokens_, label, expression_.depth()};
  }

 private:
  [[noreturn]] void fail(std::string reason) const {
    throw DataError::at_line(name_, line_, std::move(reason));
  }

  size_t split_columns(std::string_view line, bool cut_short) const {
    if (line.empty()) fail("blank line inside the data: a row has 2 columns");
    const auto columns = std::count(line.begin(), line.end(), '\t') + 1;
    if (columns != 2) {
      fail(concat("row has ", columns, columns == 1 ? " column" : " columns", ", 2 wanted",
                  cut_short && columns == 1 ? " (is the file cut short?)" : ""));
    }
    return line.find('\t');
  }

  /// Deletes parentheses, splits at blanks, looks each token up and feeds the grammar.
  void parse_expression(std::string_view text) {
    int64_t opening = 0, closing = 0;
    size_t i = 0;
    while (i < text.size()) {
      const char c = text[i];
      if (c == ' ') {
        ++i;
      } else if (c == '(') {
        ++opening;
        ++i;
      } else if (c == ')') {
        close(++closing, opening);
        ++i;
      } else {
        i = parse_token(text, i, opening, closing);
      }
    }
    if (!expression_.finish()) fail(expression_.problem());
    const int64_t pairs = expression_.tokens() - 1;
    if (opening != pairs || closing != pairs) {
      fail(concat("parentheses do not match the brackets: ", opening, " '(' and ", closing, " ')' around ",
                  expression_.tokens(), " tokens, ", pairs, " of each wanted"));
    }
  }

  void close(int64_t closing, int64_t opening) const {
    if (closing > opening) fail(concat("parentheses do not nest: ')' number ", closing, " closes nothing"));
  }

  /// Takes the token that begins at `begin` and returns where the next piece begins.
  size_t parse_token(std::string_view text, size_t begin, int64_t& opening, int64_t& closing) {
    size_t end = begin;
    while (end < text.size() && text[end] != ' ' && text[end] != '(' && text[end] != ')') ++end;
    std::string_view token = text.substr(begin, end - begin);
    if (end < text.size() &&
        text[end] != ' ') {  // a parenthesis inside the piece is deleted, not a separator
      glued_ = token;
      for (; end < text.size() && text[end] != ' '; ++end) {
        if (text[end] == '(')
          ++opening;
        else if (text[end] == ')')
          close(++closing, opening);
        else
          glued_ += text[end];
      }
      token = glued_;
    }
    const uint8_t id = token_id(token);
    if (id == kUnknown) fail("unknown token " + quoted(token));
    if (!expression_.push(id)) fail(expression_.problem());
    tokens_.push_back(id);
    return end;
  }

  int parse_label(std::string_view text) const {
    int64_t value = -1;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec == std::errc::invalid_argument || result.ptr != text.data() + text.size()) {
      fail("label " + quoted(text) + " is not an integer");
    }
    if (result.ec != std::errc{} || value < 0 || value > 9) fail(concat("label ", text, " outside 0..9"));
    if (text.size() != 1) fail("label " + quoted(text) + " is not one digit");
    return static_cast<int>(value);
  }

  std::string name_;
  bool verify_labels_;
  int64_t line_ = 0;
  Expression expression_;
  std::vector<uint8_t> tokens_;
  std::string glued_;
};

void check_header(const std::string& name, std::string_view line) {
  constexpr std::string_view kHeader = "Source\tTarget";
  if (line == kHeader) return;
  const bool is_data = !line.empty() && (line.front() == '(' || line.front() == '[');
  throw DataError::at_line(name, 1,
                           is_data ? "first line is data, the header Source<TAB>Target is missing"
                                   : "header is " + quoted(line) + ", Source<TAB>Target wanted");
}

}  // namespace

void read_rows(SourceFile file, bool verify_labels, const std::function<void(const Row&)>& take) {
  const std::string name = file.name();
  const int64_t bytes = file.size();
  if (bytes == 0) throw DataError::at_file(name, "file is empty (0 bytes)");
  LineReader reader(std::move(file));
  RowParser parser(name, verify_labels);
  Progress progress("reading " + name, bytes, "bytes");
  std::string_view line;
  if (reader.next(line)) check_header(name, line);
  while (reader.next(line)) {
    take(parser.parse(line, reader.line_number(), !reader.ended_with_newline()));
    progress.update(reader.position());
  }
  if (reader.line_number() < 2) throw DataError::at_file(name, "no examples after the header");
}

}  // namespace lotformer::data::listops
