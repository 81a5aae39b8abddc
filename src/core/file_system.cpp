// SPDX-License-Identifier: MIT
#include "lotformer/core/file_system.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

std::string reason() {
  return std::strerror(errno);
}

[[noreturn]] void fail_disk(const fs::path& path, const std::string& what) {
  throw Error(ErrorKind::disk, path.string() + ": " + what);
}

/// A regular file, open for reading.
struct RegularFile {
  RegularFile(const fs::path& path, ErrorKind kind, ErrorKind trouble) {
    fd = open_uninterrupted(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would be waited for
    if (fd < 0) {
      const bool of_the_file = errno == ENOENT || errno == ENOTDIR || errno == ELOOP ||
                               errno == ENAMETOOLONG || errno == ENXIO;  // ENXIO: a socket
      throw Error(of_the_file ? kind : trouble, concat(path.string(), ": cannot be read: ", reason()));
    }
    struct stat info {};
    const bool seen = ::fstat(fd, &info) == 0;
    if (!seen || !S_ISREG(info.st_mode)) {
      const std::string why = reason();
      ::close(fd);
      if (!seen) throw Error(trouble, concat(path.string(), ": cannot be looked at: ", why));
      throw Error(kind, path.string() + ": is not a regular file");
    }
    size = info.st_size;
  }
  ~RegularFile() { ::close(fd); }
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  int fd = -1;
  int64_t size = 0;
};

}  // namespace

std::string read_file(const fs::path& path, ErrorKind kind, int64_t max_bytes,
                      std::optional<ErrorKind> trouble) {
  if (!trouble) trouble = kind == ErrorKind::checkpoint ? ErrorKind::disk : kind;
  const RegularFile file(path, kind, *trouble);
  if (file.size > max_bytes) {
    throw Error(kind,
                concat(path.string(), ": has ", file.size, " bytes, at most ", max_bytes, " are accepted"));
  }
  std::string bytes;
  try {
    bytes.resize(static_cast<size_t>(file.size));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::memory, concat(path.string(), ": out of memory: it has ", file.size, " bytes"));
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        uninterrupted([&] { return ::read(file.fd, bytes.data() + done, bytes.size() - done); });
    if (got < 0) throw Error(*trouble, concat(path.string(), ": cannot be read: ", reason()));
    if (got == 0) throw Error(kind, path.string() + ": changed while it was read");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

FileWriter::FileWriter(const fs::path& path, Open mode) : path_(path) {
  constexpr int kCreate = O_WRONLY | O_CREAT | O_CLOEXEC;
  int flags = kCreate | O_TRUNC;
  if (mode == Open::append) flags = kCreate | O_APPEND;
  if (mode == Open::fresh) {
    flags = kCreate | O_EXCL;
    ::unlink(path.c_str());
  }
  fd_ = open_uninterrupted(path, flags, 0644);
  if (fd_ < 0) fail_disk(path_, "cannot be opened for writing: " + reason());
  if (mode == Open::append) position_ = ::lseek(fd_, 0, SEEK_END);
  buffer_.reserve(kBufferBytes);
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  try {
    flush_buffer();
  } catch (const Error&) {  // commit() is where failures are reported
  }
  ::close(fd_);
}

void FileWriter::write(std::string_view bytes) {
  position_ += static_cast<int64_t>(bytes.size());
  if (buffer_.size() + bytes.size() > kBufferBytes) flush_buffer();
  if (bytes.size() >= kBufferBytes) {
    buffer_.assign(bytes);
    flush_buffer();
  } else {
    buffer_.append(bytes);
  }
}

void FileWriter::flush_buffer() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t put =
        uninterrupted([&] { return ::write(fd_, buffer_.data() + done, buffer_.size() - done); });
    if (put < 0) {
      const std::string why = reason();
      buffer_.clear();
      fail_disk(path_, "write failed: " + why);
    }
    done += static_cast<size_t>(put);
  }
  buffer_.clear();
}

void FileWriter::flush() {
  flush_buffer();
}

void FileWriter::commit() {
  flush_buffer();
  const bool synced = uninterrupted([&] { return ::fsync(fd_); }) == 0 ||
                      errno == EINVAL;  // EINVAL: a pipe or device, nothing to sync
  const std::string why = reason();
  const bool closed = ::close(std::exchange(fd_, -1)) == 0;
  if (!synced || !closed) fail_disk(path_, "cannot be made durable: " + why);
}

void write_atomic(const fs::path& path, const std::function<void(FileWriter&)>& fill) {
  fs::path temporary = path;
  temporary += concat(".tmp-", ::getpid());
  try {
    FileWriter writer(temporary, FileWriter::Open::fresh);
    fill(writer);
    writer.commit();
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = reason();
    std::error_code ignored;
    fs::remove(temporary, ignored);
    fail_disk(path, "rename failed: " + why);
  }
  sync_directory(path.parent_path());
}

void write_atomic(const fs::path& path, std::string_view bytes) {
  write_atomic(path, [bytes](FileWriter& writer) { writer.write(bytes); });
}

int open_uninterrupted(const fs::path& path, int flags, unsigned mode) {
  return uninterrupted([&] { return ::open(path.c_str(), flags, mode); });
}

void sync_directory(const fs::path& directory) {
  const fs::path target = directory.empty() ? fs::path(".") : directory;
  const int fd = open_uninterrupted(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_disk(target, "cannot be opened: " + reason());
  // Some file systems cannot sync a folder, and say so in many ways; these three are failures of the disk.
  const bool synced =
      uninterrupted([&] { return ::fsync(fd); }) == 0 || (errno != EIO && errno != ENOSPC && errno != EDQUOT);
  const std::string why = reason();
  ::close(fd);
  if (!synced) fail_disk(target, "cannot be made durable: " + why);
}

void create_directories(const fs::path& directory) {
  std::error_code code;
  fs::create_directories(directory, code);
  if (code) fail_disk(directory, "cannot be created: " + code.message());
}

int64_t free_disk_bytes(const fs::path& path) {
  fs::path probe = fs::absolute(path);
  while (!fs::exists(probe) && probe.has_parent_path() && probe != probe.parent_path())
    probe = probe.parent_path();
  struct statvfs info {};
  if (::statvfs(probe.c_str(), &info) != 0) fail_disk(probe, "cannot be examined: " + reason());
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

MappedFile::MappedFile(const fs::path& path, ErrorKind kind) {
  const RegularFile file(path, kind, kind);
  size_ = static_cast<size_t>(file.size);
  void* address = size_ == 0 ? nullptr : ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) throw Error(kind, path.string() + ": cannot be mapped: " + reason());
  data_ = static_cast<const uint8_t*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace lotformer
