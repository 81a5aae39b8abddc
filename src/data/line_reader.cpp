// SPDX-License-Identifier: MIT
#include "data/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

LineReader::LineReader(const std::filesystem::path& path, std::string name)
    : name_(std::move(name)), buffer_(size_t{1} << 20) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw DataError::at_file(name_, concat("cannot be read: ", std::strerror(errno)));
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

LineReader::~LineReader() {
  ::close(fd_);
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
  ++line_number_;
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
      throw DataError::at_line(name_, line_number_ + 1,
                               concat("line is longer than ", format_bytes(kMaxLineBytes)));
    }
    buffer_.resize(buffer_.size() * 2);
  }
  while (true) {
    const ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DataError::at_file(name_, concat("read error: ", std::strerror(errno)));
    end_ += static_cast<size_t>(got);
    return got > 0;
  }
}

}  // namespace lotformer::data
