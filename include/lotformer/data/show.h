// SPDX-License-Identifier: MIT
// `lotformer-data show`: one example for people.
#pragma once

#include <span>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/data/task.h"

namespace lotformer::data {

/// How a picture is drawn in a terminal.
enum class Ink {
  /// Half blocks, two levels.
  plain,
  /// Half blocks in 256 grey levels (escape sequences).
  grey,
};

struct Example {
  /// Task, origin, split, row, label, class, and of each sequence its length, ids and, of text and trees, its
  /// text.
  Json object;
  /// A tree, a review, two documents or a picture.
  std::string text;
  /// A PNG file of a picture, else empty.
  std::string png;
};

/// Row `row` (from 0) of a split. Error(usage) when there is no such row; else what the reader throws.
Example show_example(const std::string& task, const DataOptions& options, Split split, int64_t row, Ink ink);

/// A ListOps expression, token by token ("[MAX", "3", "]"), as an indented tree with the value of each
/// operator. In one line where it has operators and no close bracket: nobody can tell where its lists end.
std::string listops_tree(std::span<const std::string> tokens);
/// Bytes as text: what is no UTF-8 or a control character (an escape sequence, say) is written \xNN.
std::string printable(std::span<const uint8_t> bytes);
/// Square picture as lines of half blocks, at most 128 columns.
std::string half_blocks(std::span<const uint8_t> pixels, Ink ink);

}  // namespace lotformer::data
