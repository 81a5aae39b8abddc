// SPDX-License-Identifier: MIT
// SYNTHETIC.json: the record that a generator leaves beside the files it made.
#pragma once

#include <filesystem>
#include <string>

#include "lotformer/core/json.h"

namespace lotformer::data {

inline constexpr const char* kProvenanceFile = "SYNTHETIC.json";

/// The record of `directory`, else of `root` (the folder the user named), or null. A record of another task
/// does not count. DataError when it cannot be read or is no object.
Json read_provenance(const std::filesystem::path& directory, const std::filesystem::path& root,
                     const std::string& task);

/// "official" for null, else the record's `origin` when it is "generated", else "synthetic".
std::string origin_of(const Json& provenance);

/// Regular files below a folder, 0 when there is no such folder.
int64_t count_files(const std::filesystem::path& folder);

/// Compares the sizes (and with `contents` the XXH3 digests) of the files that the record lists, and with `contents` the numbers
/// of files in the folders that it lists, with what lies in `directory`. `prefix` is put before file names in errors. DataError names the first file that
/// differs.
void check_files(const Json& provenance, const std::filesystem::path& directory, const std::string& prefix,
                 bool contents);

}  // namespace lotformer::data
