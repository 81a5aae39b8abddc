// SPDX-License-Identifier: MIT
// Which data sets lie below a folder, without reading an example.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lotformer::data {

struct FoundSet {
  enum class State { found, missing, damaged };
  std::string task;
  State state = State::missing;
  /// As Task::data_origin(), of a set that was found.
  std::string origin;
  std::filesystem::path folder;
  /// What a reader says of a damaged one.
  std::string problem;
  /// Files of its cache folder, wherever that is, and their bytes.
  int64_t caches = 0, cache_bytes = 0;
};

/// Every task, in the order of the table. Found means that the files are there and have the sizes that a
/// provenance record names, not that every example reads: that is check_task(). (Of `custom` every line is
/// read, as the length of its rows is known no sooner.)
std::vector<FoundSet> survey(const std::filesystem::path& root);

}  // namespace lotformer::data
