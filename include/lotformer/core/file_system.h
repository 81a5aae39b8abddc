// SPDX-License-Identifier: MIT
// Files: whole reads, atomic durable writes, memory maps. Failures are lotformer::Error of kind disk
// (writing) or the kind given.
#pragma once

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lotformer/core/error.h"

namespace lotformer {

/// Whole file as bytes; errors name the path. They carry `kind` for what is wrong with the file (absent, not
/// regular, larger than `max_bytes`, changed while it was read), and `trouble` for what is not the file's
/// fault and may pass: permissions, descriptors, memory, a disk that fails. Unless given that is `kind`, but
/// disk for a checkpoint, which is not to be called damaged for it. A pipe is refused, not waited for.
std::string read_file(const std::filesystem::path& path, ErrorKind kind, int64_t max_bytes = int64_t{1} << 40,
                      std::optional<ErrorKind> trouble = std::nullopt);

/// Buffered writer that reports every failure (disk full, quota, file-size limit) as Error(disk) with path
/// and reason.
class FileWriter {
 public:
  enum class Open {
    replace,  // what is there is emptied; a link is followed
    append,
    fresh,  // a file of ours alone: whatever bears the name is removed first, no link is followed
  };
  explicit FileWriter(const std::filesystem::path& path, Open mode = Open::replace);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(std::string_view bytes);
  void write(const void* data, size_t size) { write({static_cast<const char*>(data), size}); }
  int64_t position() const { return position_; }
  void flush();
  /// flush, fsync, close. Without it the destructor closes without a promise.
  void commit();

 private:
  void flush_buffer();
  std::filesystem::path path_;
  int fd_ = -1;
  std::string buffer_;
  int64_t position_ = 0;
};

/// Writes through `fill` to a temporary name beside `path`, fsyncs, renames over `path`, fsyncs the folder.
void write_atomic(const std::filesystem::path& path, const std::function<void(FileWriter&)>& fill);
void write_atomic(const std::filesystem::path& path, std::string_view bytes);

/// What a system call returns, made again as often as a signal interrupts it, as network file systems allow.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}
/// open(2).
int open_uninterrupted(const std::filesystem::path& path, int flags, unsigned mode = 0);

void sync_directory(const std::filesystem::path& directory);
void create_directories(const std::filesystem::path& directory);
/// Bytes available to this user on the file system that holds `path` (or its nearest existing parent).
int64_t free_disk_bytes(const std::filesystem::path& path);

/// Read-only memory map of a whole file.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(const std::filesystem::path& path, ErrorKind kind);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const uint8_t> bytes() const { return {data_, size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lotformer
