// SPDX-License-Identifier: MIT
#include "data/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

FileLock::FileLock(const std::filesystem::path& path, const std::string& waiting_for) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0)
    throw Error(ErrorKind::disk, concat(path.string(), ": cannot be created: ", std::strerror(errno)));
  held_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  if (held_) return;
  if (errno == EWOULDBLOCK) log::info("waiting for another process: " + waiting_for);
  while (::flock(fd_, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    log::warning(concat(path.string(), ": cannot be locked (", std::strerror(errno), "); going on without"));
    return;
  }
  held_ = true;
}

FileLock::~FileLock() {
  ::close(fd_);
}

}  // namespace lotformer::data
