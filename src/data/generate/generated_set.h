// SPDX-License-Identifier: MIT
// What all generators of sets share: look whether the set is there, lock, fill a folder, record, publish.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/json.h"
#include "lotformer/data/synthetic_generator.h"

namespace lotformer::data {

struct SetPlan {
  /// Of the record: "pathfinder64".
  std::string task;
  /// Raised when equal parameters would give other bytes.
  int version = 1;
  /// Below the root.
  std::filesystem::path folder;
  /// Other names under which readers look.
  std::vector<std::string> other_folders;
  /// Names at the folder's top that a generator makes.
  std::vector<std::string> own;
  /// Paths in it by which a set is known, whoever made it.
  std::vector<std::string> markers;
  Json parameters, counts;
  int64_t examples = 0;
  /// What it takes on disk at most.
  int64_t max_bytes = 0;
};

/// Fills the folder it is given and returns the `files` and `folders` of the record (see file_entry,
/// folder_entry).
using FillFolder = std::function<Json(const std::filesystem::path&)>;

/// Makes the set of `plan` below `root`, or finds that it is there. Error(data) when something else is.
Generation make_set(const std::filesystem::path& root, const SetPlan& plan, const FillFolder& fill);

/// Members of the record: {bytes, xxh3_128} of one file; {files, bytes} of a folder with everything below.
Json file_entry(int64_t bytes, const std::string& digest);
Json folder_entry(int64_t files, int64_t bytes);

/// A small file, without the promise of surviving a power cut (make_set syncs the whole set). Error(disk).
void write_small_file(const std::filesystem::path& path, std::string_view bytes);

/// Error(usage) "generate: --option must lie in low..high, got value".
void check_option(const char* option, int64_t value, int64_t low, int64_t high);

}  // namespace lotformer::data
