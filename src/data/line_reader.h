// SPDX-License-Identifier: MIT
// Lines of a large text file in bounded memory: one buffer that grows only for a line longer than itself.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tasks/source_files.h"

namespace lotformer::data {

class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = size_t{16} << 20;

  explicit LineReader(SourceFile file);

  /// Next line without its LF or CRLF; valid until the next call. A missing newline after the last line is
  /// fine. DataError for a byte order mark at the front of the first.
  bool next(std::string_view& line);
  /// Of the line last returned, 1-based.
  int64_t line_number() const { return line_number_; }
  /// Bytes consumed.
  int64_t position() const { return position_; }
  /// Whether the line last returned did.
  bool ended_with_newline() const { return newline_; }

 private:
  bool fill();
  SourceFile file_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of the buffer
  int64_t line_number_ = 0;
  int64_t position_ = 0;
  bool newline_ = true;
};

}  // namespace lotformer::data
