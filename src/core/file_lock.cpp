// SPDX-License-Identifier: MIT
#include "lotformer/core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;

FileLock::FileLock(const fs::path& path) : path_(path) {
  fd_ = open_uninterrupted(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0)
    throw Error(ErrorKind::disk, concat(path.string(), ": cannot be created: ", std::strerror(errno)));
}

bool FileLock::lock(int operation) {
  while (::flock(fd_, operation) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return false;
    log::warning(concat(path_.string(), ": cannot be locked (", std::strerror(errno),
                        "); going on without: make sure that no other process writes here"));
    return true;
  }
  const std::string owner = concat(::getpid(), "\n");
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, owner.data(), owner.size(), 0) < 0)
    log::debug(path_.string() + ": the process id could not be noted");
  held_ = true;
  return true;
}

FileLock FileLock::wait(const fs::path& path, const std::string& waiting_for) {
  FileLock file(path);
  if (!file.lock(LOCK_EX | LOCK_NB)) {
    log::info("waiting for another process: " + waiting_for);
    file.lock(LOCK_EX);
  }
  return file;
}

std::optional<FileLock> FileLock::try_now(const fs::path& path) {
  FileLock file(path);
  if (!file.lock(LOCK_EX | LOCK_NB)) return std::nullopt;
  return file;
}

std::string FileLock::owner(const fs::path& path) {
  const int fd = open_uninterrupted(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const auto cannot_be_read = [&path](int why) {
    return Error(ErrorKind::disk, concat(path.string(), ": cannot be read: ", std::strerror(why)));
  };
  if (fd < 0 && (errno == EIO || errno == EMFILE || errno == ENFILE || errno == ENOMEM))
    throw cannot_be_read(errno);  // may pass, and says nothing about the file
  if (fd < 0) return "";
  char text[24] = {};
  const ssize_t got = uninterrupted([&] { return ::read(fd, text, sizeof(text) - 1); });
  const int why = errno;
  ::close(fd);
  if (got < 0 && why == EIO) throw cannot_be_read(why);
  const std::string owner(text, got > 0 ? static_cast<size_t>(got) : 0);
  return owner.substr(0, owner.find_first_not_of("0123456789"));
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      held_(std::exchange(other.held_, false)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(held_, other.held_);
  return *this;
}

}  // namespace lotformer
