// SPDX-License-Identifier: MIT
// Lines of a large text file in bounded memory: one buffer that grows only for a line longer than itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer::data {

class LineReader {
 public:
  static constexpr size_t kMaxLineBytes = size_t{16} << 20;

  /// `name` is the file's name in error messages (relative to the data folder). DataError when it cannot be
  /// opened.
  LineReader(const std::filesystem::path& path, std::string name);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Next line without its LF or CRLF; valid until the next call. A missing newline after the last line is
  /// fine.
  bool next(std::string_view& line);
  int64_t line_number() const { return line_number_; }  ///< of the line last returned, 1-based
  int64_t position() const { return position_; }        ///< bytes consumed
  bool ended_with_newline() const { return newline_; }  ///< whether the line last returned did

 private:
  bool fill();
  std::string name_;
  int fd_ = -1;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // unread bytes of the buffer
  int64_t line_number_ = 0;
  int64_t position_ = 0;
  bool newline_ = true;
};

}  // namespace lotformer::data
