// SPDX-License-Identifier: MIT
// Pictures as files for papers: a gnuplot script each, and SVG and PNG where gnuplot is installed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "run.h"
#include "table.h"

namespace lotformer::report {

/// Name without suffix, and the script, which sets neither terminal nor output.
struct Picture {
  std::string name, script;
};

std::vector<Picture> make_pictures(const std::vector<Run>& runs, const Table& table);

/// Writes NAME.gp, and NAME.svg and NAME.png through gnuplot (the program of that name on PATH). Returns how
/// many were drawn; a gnuplot that is missing or fails is told in `notes`.
int write_pictures(const std::vector<Picture>& pictures, const std::filesystem::path& folder,
                   std::vector<std::string>& notes);

}  // namespace lotformer::report
