// SPDX-License-Identifier: MIT
// `lotformer-data stats`: what a data set looks like.
#pragma once

#include <optional>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/data/task.h"

namespace lotformer::data {

/// For each split (or the one asked for): class balance, a histogram of the lengths (of both documents of a
/// pair), the most frequent tokens with their shares. Throws what the task's reader throws.
Json task_stats(const std::string& task, const DataOptions& options, std::optional<Split> only);
std::string describe_stats(const Json& stats);

/// A token id of a task for people: "[MAX", "'e'", "0x0a", "grey 17", "<end>".
std::string token_text(const Vocabulary& vocabulary, int64_t id);

}  // namespace lotformer::data
