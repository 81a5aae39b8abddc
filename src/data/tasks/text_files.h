// SPDX-License-Identifier: MIT
// The reviews of the IMDb set: one file each (data contract, sections 1 and 3).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/tasks/source_files.h"

namespace lotformer::data::reviews {

struct Review {
  /// "train/pos/10_7.txt".
  std::string name;
  /// 0 neg, 1 pos.
  int label = 0;
  int64_t id = 0;
  int64_t rating = 0;
};

/// The reviews of `split` ("train" or "test"): neg before pos, in each by id, then rating. DataError for a
/// file whose name or rating does not belong where it lies, and for two of one id and rating.
std::vector<Review> list(const std::filesystem::path& directory, const std::string& prefix,
                         const std::string& split, Links links = Links::inside);

/// `text` without white space bytes (space, TAB, LF, VT, FF, CR) at both ends.
std::string_view strip(std::string_view text);

}  // namespace lotformer::data::reviews
