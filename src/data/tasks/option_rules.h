// SPDX-License-Identifier: MIT
// Which options a task has. What it does not have must keep its default: nothing is ignored in silence.
#pragma once

#include <string>
#include <vector>

#include "lotformer/data/task.h"

namespace lotformer::data {

/// Values beside the default that a task accepts.
struct OptionRules {
  std::vector<std::string> tokenizers = {}, vocabs = {}, vals = {}, splits = {}, greys = {},
                           difficulties = {};
  bool append_eos = false;
  bool generate_missing = false;
  bool verify_labels = false;
  bool pixels = false;     ///< mask_zero_pixels and strict_counts; the length is fixed
  bool png_files = false;  ///< skip_empty_images
};

/// Error(usage) that names key, task and what is allowed.
void check_options(const std::string& task, const OptionRules& rules, const DataOptions& options);

/// Error(usage) when `pad_to` is set and less than `longest`, the task's longest sequence.
void check_pad_to(const DataOptions& options, int64_t longest);

/// Error(usage) when `max_length` would cut examples that all have `length` tokens, or `pad_to` is less.
void check_fixed_length(const std::string& task, int64_t length, const DataOptions& options);

}  // namespace lotformer::data
