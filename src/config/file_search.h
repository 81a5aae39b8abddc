// SPDX-License-Identifier: MIT
// Where a configuration file is looked for.
#pragma once

#include <filesystem>
#include <string>

namespace lotformer::config {

struct FoundFile {
  /// Empty when there is none.
  std::filesystem::path path;
  /// Then: what was looked at and found.
  std::string problem;
};

/// `name` beside `including_folder` (skipped when empty), as given, in the config folder, in
/// $LOTFORMER_CONFIG_DIR.
FoundFile find_config_file(const std::string& name, const std::filesystem::path& including_folder);

/// The path for messages: relative to the working directory when it lies below it.
std::string display_path(const std::filesystem::path& path);

}  // namespace lotformer::config
