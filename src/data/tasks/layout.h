// SPDX-License-Identifier: MIT
// Where the files of a task lie below the folder that the user named (data contract, section 1).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lotformer::data {

struct Layout {
  /// Of the task's folder, the official one first; none: ROOT itself only.
  std::vector<std::string> names;
  /// Files or folders that it holds.
  std::vector<std::string> required;
};

/// Folders that are looked into, in order: for each name ROOT/name, ROOT/lra_release/name and
/// ROOT/lra_release/lra_release/name, and last ROOT itself.
std::vector<std::filesystem::path> candidate_directories(const std::filesystem::path& root,
                                                         const Layout& layout);
/// Entries of `required` that `directory` lacks. DataError when one cannot be looked at (permissions).
std::vector<std::string> missing_entries(const std::filesystem::path& directory, const Layout& layout);
/// The first candidate that lacks nothing, else the first that lacks not all, else "".
std::filesystem::path find_directory(const std::filesystem::path& root, const Layout& layout);
/// The folder with everything in it. DataError when an entry or all are absent: what was looked for, where,
/// and `advice`.
std::filesystem::path require_directory(const std::filesystem::path& root, const Layout& layout,
                                        const std::string& advice);
/// What stands before a file's name in messages: the path from `root` to `directory` with a slash, or "".
std::string message_prefix(const std::filesystem::path& root, const std::filesystem::path& directory);

}  // namespace lotformer::data
