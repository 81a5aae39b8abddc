// SPDX-License-Identifier: MIT
#include "data/line_reader.h"

#include <cstring>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

LineReader::LineReader(SourceFile file) : file_(std::move(file)), buffer_(size_t{1} << 20) {
  file_.expect_sequential();
}

bool LineReader::next(std::string_view& line) {
  size_t searched = 0;  // bytes known to hold no newline
  const void* newline = nullptr;
  while (true) {
    newline = std::memchr(buffer_.data() + begin_ + searched, '\n', end_ - begin_ - searched);
    if (newline != nullptr) break;
    searched = end_ - begin_;
    if (!fill()) break;
  }
  if (newline == nullptr && begin_ == end_) return false;
  newline_ = newline != nullptr;
  const char* first = buffer_.data() + begin_;
  size_t size = newline_ ? static_cast<size_t>(static_cast<const char*>(newline) - first) : end_ - begin_;
  begin_ += size + (newline_ ? 1 : 0);
  position_ += static_cast<int64_t>(size) + (newline_ ? 1 : 0);
  if (++line_number_ == 1) refuse_byte_order_mark({first, size}, file_.name());
  if (size > 0 && first[size - 1] == '\r') --size;
  line = {first, size};
  return true;
}

bool LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (buffer_.size() >= kMaxLineBytes) {
      throw DataError::at_line(file_.name(), line_number_ + 1,
                               concat("line is longer than ", format_bytes(kMaxLineBytes)));
    }
    buffer_.resize(buffer_.size() * 2);
  }
  const size_t got = file_.read(buffer_.data() + end_, buffer_.size() - end_);
  end_ += got;
  return got > 0;
}

}  // namespace lotformer::data
