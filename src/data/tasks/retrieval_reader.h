// SPDX-License-Identifier: MIT
// Pairs of documents in a TSV file without header and without quoting (data contract, section 4).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "data/tasks/source_files.h"

namespace lotformer::data::retrieval {

struct Pair {
  int label = 0;
  std::string_view ids[2], texts[2];
  int64_t line = 0;
};

/// One line, without its end. DataError with `name` and `number` when it is not an official row.
Pair parse_pair(std::string_view line, int64_t number, const std::string& name);

/// Calls `take` for each pair of the file, in bounded memory. DataError: see parse_pair; empty file.
void read_pairs(SourceFile file, const std::function<void(const Pair&)>& take);

}  // namespace lotformer::data::retrieval
