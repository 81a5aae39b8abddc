// SPDX-License-Identifier: MIT
// A folder of generated files that appears whole or not at all: filled under a temporary name, then renamed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lotformer::data {

class TargetFolder {
 public:
  /// `own_files` (and the provenance record and caches) may be in `directory` already and are replaced; any
  /// other file there is an Error(data). The caller holds the lock of this target.
  TargetFolder(const std::filesystem::path& directory, std::vector<std::string> own_files);
  /// Removes what an unfinished begin() left.
  ~TargetFolder();
  TargetFolder(const TargetFolder&) = delete;
  TargetFolder& operator=(const TargetFolder&) = delete;

  /// Error(usage) when `root` exists and is no folder.
  static void check_root(const std::filesystem::path& root);

  /// Error(disk) unless `bytes` (and some spare) are free.
  void require_space(int64_t bytes) const;
  /// Makes partial() empty; what a killed run left there is removed.
  void begin() const;
  const std::filesystem::path& partial() const { return partial_; }
  /// Puts the filled folder in place.
  void publish() const;

 private:
  void refuse_foreign_files() const;
  std::filesystem::path directory_, partial_;
  std::vector<std::string> own_files_;
};

}  // namespace lotformer::data
