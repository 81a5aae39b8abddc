// SPDX-License-Identifier: MIT
// SYNTHETIC.json: the record that a generator leaves beside the files it made.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "lotformer/core/json.h"

namespace lotformer::data {

inline constexpr const char* kProvenanceFile = "SYNTHETIC.json";

/// The text of a record, which errors call `name`. DataError when it is no JSON object.
Json parse_provenance(std::string_view text, const std::string& name);

/// The record of `directory`, else of `root` (the folder the user named), or null. A record of another task
/// does not count. DataError when it cannot be read or is no object.
Json read_provenance(const std::filesystem::path& directory, const std::filesystem::path& root,
                     const std::string& task);

/// "official" for null, else the record's `origin` when it is "generated", else "synthetic".
std::string origin_of(const Json& provenance);

/// Regular files below a folder, 0 when there is no such folder. `expected`: how many there should be, for the progress line.
int64_t count_files(const std::filesystem::path& folder, int64_t expected);

/// Compares the sizes (and with `contents` the XXH3 digests) of the files that the record lists, and with `contents` the numbers
/// of files in the folders that it lists, with what lies in `directory`. `prefix` is put before file names in errors. DataError names the first file that
/// differs.
void check_files(const Json& provenance, const std::filesystem::path& directory, const std::string& prefix,
                 bool contents);

}  // namespace lotformer::data
