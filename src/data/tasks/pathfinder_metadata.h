// SPDX-License-Identifier: MIT
// Pathfinder's metadata: plain text in spite of its name `.npy` (data contract, section 6).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tasks/source_files.h"

namespace lotformer::data::pathfinder {

struct Image {
  /// "imgs/0", "sample_0.png".
  std::string_view folder, file;
  int label = 0;
  /// Number of the metadata file.
  int64_t batch = 0;
  /// There, 1-based.
  int64_t line = 0;
};

struct MetadataFile {
  /// "metadata/10.npy".
  std::string name;
  int64_t number = 0;
};

/// The metadata files `<number>.npy` by their number (2 before 10). DataError when there are none, two have
/// the same number or anything else lies there.
std::vector<MetadataFile> list_metadata(const std::filesystem::path& directory, const std::string& prefix,
                                        Links links = Links::inside);

/// Calls `take` for each line of `text`, the contents of the file `name` with number `batch`. DataError for
/// everything that is not an official line, and for a path that leaves the folder of the set.
void parse_metadata(std::string_view text, const std::string& name, int64_t batch,
                    const std::function<void(const Image&)>& take);

/// All images of the set in canonical order. DataError: see parse_metadata; an image that is listed twice.
void read_metadata(const std::filesystem::path& directory, const std::string& prefix, Links links,
                   const std::function<void(const Image&)>& take);

}  // namespace lotformer::data::pathfinder
