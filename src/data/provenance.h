// SPDX-License-Identifier: MIT
// SYNTHETIC.json: the record that a generator leaves beside the files it made.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/tasks/source_files.h"
#include "lotformer/core/json.h"

namespace lotformer::data {

inline constexpr const char* kProvenanceFile = "SYNTHETIC.json";

/// The text of a record, which errors call `name`. DataError when it is no JSON object.
Json parse_provenance(std::string_view text, const std::string& name);

/// The record in the task's own folder, or null. `root`: the folder that names in errors start from.
/// DataError when it cannot be read, is no object or names another task.
Json read_own_provenance(const std::filesystem::path& directory, const std::filesystem::path& root,
                         const std::string& task);

/// read_own_provenance(), else the record of a folder above, within or beyond `root` (the folder the user
/// named, which may be any level of a set), or null. A record of another task does not count there. DataError
/// as above.
Json read_provenance(const std::filesystem::path& directory, const std::filesystem::path& root,
                     const std::string& task, Links links = Links::inside);

/// "official" for null, "generated" for a record of ListOps that says so (its official files are a program's
/// output), else "synthetic".
std::string origin_of(const Json& provenance, const std::string& task);

/// The regular files below a folder and their bytes, without what macOS leaves; nothing when there is no such
/// folder. `expected`: how many there should be, for the progress line. The bytes of links count where links
/// may lead anywhere.
struct FolderContents {
  int64_t files = 0, bytes = 0;
};
FolderContents contents_of(const std::filesystem::path& folder, int64_t expected,
                           Links links = Links::inside);

/// Compares the sizes (and with `contents` the XXH3 digests) of the files that the record lists, and with
/// `contents` the numbers and bytes of the files in the folders that it lists, with what lies in `directory`.
/// `prefix` is put before file names in errors. DataError names the first file that differs.
void check_files(const Json& provenance, const std::filesystem::path& directory, const std::string& prefix,
                 bool contents, Links links = Links::inside);

}  // namespace lotformer::data
