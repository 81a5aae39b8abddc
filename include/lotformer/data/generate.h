// SPDX-License-Identifier: MIT
// The one front of all generators: a task's row names its own (TaskSpec::generator), `lotformer-data
// generate` calls it. Their parameters in full are in listops_generator.h and synthetic_generator.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer::data {

/// What is asked of a generator; what is left empty takes the generator's own default.
struct GenerateRequest {
  /// The task's folder is made below it.
  std::string root;
  uint64_t seed = 0;
  /// pathfinder
  std::string difficulty = "hard";
  /// text: label words in the last fifth of a review only.
  bool long_range = false;
  /// Examples of each split.
  std::optional<int64_t> train, val, test;
  /// listops
  std::optional<int64_t> min_length, max_length, max_depth, max_args;
  /// retrieval: bytes of a document.
  std::optional<int64_t> min_bytes, max_bytes;
};

/// A set that was made, as JSON and as a line for people.
struct GeneratedSet {
  Json object;
  std::string text;
};

struct Generator {
  /// Errors as in synthetic_generator.h; nullptr: the task has none.
  GeneratedSet (*make)(const GenerateRequest& request) = nullptr;
  /// Options of the command beyond --seed, --train and --test that it has: "--val".
  std::vector<std::string_view> options = {};
};

}  // namespace lotformer::data
