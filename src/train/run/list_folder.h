// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <vector>

namespace lotformer {

/// Entries of a folder; none when it does not exist. Error(disk) when it cannot be read now.
std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder);

}  // namespace lotformer
