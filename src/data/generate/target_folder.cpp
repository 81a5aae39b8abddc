// SPDX-License-Identifier: MIT
#include "data/generate/target_folder.h"

#include <algorithm>
#include <utility>

#include "data/provenance.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;

TargetFolder::TargetFolder(const fs::path& directory, std::vector<std::string> own_files)
    : directory_(fs::weakly_canonical(directory)), own_files_(std::move(own_files)) {
  own_files_.emplace_back(kProvenanceFile);
  own_files_.emplace_back(".lotformer-cache");
  partial_ = directory_.parent_path() / concat(".", directory_.filename().string(), ".partial");
  refuse_foreign_files();
}

TargetFolder::~TargetFolder() {
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void TargetFolder::check_root(const fs::path& root) {
  std::error_code code;
  if (fs::exists(root, code) && !fs::is_directory(root, code)) {
    throw Error(ErrorKind::usage, root.string() + ": is not a folder");
  }
}

void TargetFolder::refuse_foreign_files() const {
  std::error_code code;
  if (!fs::exists(directory_, code)) return;
  if (!fs::is_directory(directory_, code))
    throw Error(ErrorKind::data, directory_.string() + ": is not a folder");
  for (const auto& entry : fs::directory_iterator(directory_)) {
    const std::string name = entry.path().filename().string();
    if (std::find(own_files_.begin(), own_files_.end(), name) != own_files_.end()) continue;
    throw Error(ErrorKind::data, concat(directory_.string(), ": holds ", quoted(name, 80),
                                        ", which no generator made; choose another --root or move it away"));
  }
}

void TargetFolder::require_space(int64_t bytes) const {
  constexpr int64_t kSpare = int64_t{16} << 20;
  const int64_t available = free_disk_bytes(directory_.parent_path());
  if (available >= bytes + kSpare) return;
  throw Error(ErrorKind::disk, concat(directory_.parent_path().string(), ": ", format_bytes(available),
                                      " free, ", format_bytes(bytes + kSpare), " needed"));
}

void TargetFolder::begin() const {
  std::error_code code;
  fs::remove_all(partial_, code);
  lotformer::create_directories(partial_);
}

void TargetFolder::publish() const {
  sync_directory(partial_);
  std::error_code code;
  if (fs::exists(directory_, code)) {  // only files of ours, from an incomplete set
    refuse_foreign_files();
    fs::remove_all(directory_, code);
  }
  if (!code) fs::rename(partial_, directory_, code);
  if (code)
    throw Error(ErrorKind::disk, concat(directory_.string(), ": cannot be put in place: ", code.message()));
  sync_directory(directory_.parent_path());
}

}  // namespace lotformer::data
