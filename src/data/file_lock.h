// SPDX-License-Identifier: MIT
// An advisory lock between processes (and threads): whoever makes files that others may be making too holds
// it meanwhile.
#pragma once

#include <filesystem>
#include <string>

namespace lotformer::data {

/// Holds flock(2) on `path` (made when absent, left behind) until destruction. When another process has it,
/// says `waiting_for` in the log and waits. A file system without locks is reported as a warning and works as
/// before, without protection.
class FileLock {
 public:
  FileLock(const std::filesystem::path& path, const std::string& waiting_for);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool held() const { return held_; }

 private:
  int fd_ = -1;
  bool held_ = false;
};

}  // namespace lotformer::data
