// SPDX-License-Identifier: MIT
// Where the ListOps files lie below the folder that the user named.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "data/tasks/layout.h"
#include "lotformer/data/task.h"

namespace lotformer::data::listops {

using data::message_prefix;

inline constexpr std::array<const char*, 3> kFileNames = {"basic_train.tsv", "basic_val.tsv",
                                                          "basic_test.tsv"};
inline constexpr const char* kDirectoryName = "listops-1000";

inline const char* file_name(Split split) {
  return kFileNames[static_cast<size_t>(split)];
}

/// Folders that are looked into, in order: ROOT/listops-1000, the same below lra_release/ and
/// lra_release/lra_release/, all three with `listops`, and ROOT itself.
std::vector<std::filesystem::path> candidate_directories(const std::filesystem::path& root);

/// The first candidate that holds all three files, else the first that holds some, else "".
std::filesystem::path find_directory(const std::filesystem::path& root);

/// Names of the files that `directory` lacks.
std::vector<std::string> missing_files(const std::filesystem::path& directory);

}  // namespace lotformer::data::listops
