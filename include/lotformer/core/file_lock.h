// SPDX-License-Identifier: MIT
// An advisory lock between processes (and threads): whoever makes files that others may be making too holds
// it meanwhile.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace lotformer {

/// Holds flock(2) on a file (made when absent, left behind) until destruction. The holder's process id stands
/// in the file. A file system without locks is reported as a warning and works as before, without protection.
class FileLock {
 public:
  /// Waits while another process holds the lock, and says `waiting_for` in the log then. Error(disk) when the
  /// file cannot be made.
  static FileLock wait(const std::filesystem::path& path, const std::string& waiting_for);
  /// Nothing when another process holds the lock. Error(disk) when the file cannot be made.
  static std::optional<FileLock> try_now(const std::filesystem::path& path);
  /// Process id of whoever locked the file last, as text; empty when it cannot be read.
  /// Error(disk) where that may pass: a disk that fails, no descriptors.
  static std::string owner(const std::filesystem::path& path);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  /// False on a file system without locks.
  bool held() const { return held_; }

 private:
  explicit FileLock(const std::filesystem::path& path);
  /// False when another process holds it.
  bool lock(int operation);
  std::filesystem::path path_;
  int fd_ = -1;
  bool held_ = false;
};

}  // namespace lotformer
