// SPDX-License-Identifier: MIT
// The append-only logs of a run folder.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "run_folder.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_disk(const fs::path& path, const std::string& what) {
  throw Error(ErrorKind::disk, concat(path.string(), ": ", what, ": ", std::strerror(errno)));
}

}  // namespace

AppendLog::AppendLog(const fs::path& path) : path_(path) {
  fd_ = open_uninterrupted(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) fail_disk(path_, "cannot be opened for writing");
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    throw Error(ErrorKind::disk, path_.string() + ": is not a regular file");
  }
  offset_ = info.st_size;
}

AppendLog::~AppendLog() {
  ::close(fd_);
}

void AppendLog::truncate_to(int64_t offset) {
  if (offset < 0 || offset_ < offset) {
    throw Error(ErrorKind::checkpoint,
                concat(path_.string(), ": has ", offset_, " bytes, the checkpoint wants at least ", offset));
  }
  char last = '\n';
  ssize_t got = 1;
  if (offset > 0) got = uninterrupted([&] { return ::pread(fd_, &last, 1, offset - 1); });
  if (got != 1) fail_disk(path_, "cannot be read");
  if (last != '\n') {
    throw Error(ErrorKind::checkpoint, concat(path_.string(), ": no line ends at byte ", offset,
                                              ", so it is not the log of this checkpoint"));
  }
  if (::ftruncate(fd_, offset) != 0) fail_disk(path_, "cannot be truncated");
  offset_ = offset;
}

void AppendLog::line(const Json& value) {
  const std::string text = to_line(value) + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t put = uninterrupted([&] { return ::write(fd_, text.data() + done, text.size() - done); });
    if (put < 0) fail_disk(path_, "write failed");
    done += static_cast<size_t>(put);
  }
  offset_ += static_cast<int64_t>(text.size());
}

void AppendLog::sync() {
  if (uninterrupted([&] { return ::fsync(fd_); }) != 0 && errno != EINVAL)
    fail_disk(path_, "cannot be made durable");
}

}  // namespace lotformer
