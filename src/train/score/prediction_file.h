// SPDX-License-Identifier: MIT
// lotformer-eval --predictions: one line an example, for tables and for lotformer-report.
#pragma once

#include <filesystem>

#include "evaluate.h"
#include "lotformer/data/task.h"

namespace lotformer {

/// Error(usage) for a folder that does not exist, or a name that is a folder. An empty path is right.
void check_predictions_path(const std::filesystem::path& path);

/// TSV with a header: row, label, prediction (numbers of classes); what the task breaks accuracy down by
/// (listops: length, depth), or else the length of the example in tokens; p:NAME, the probability of each
/// class, with six digits; logit:NAME, what it is the softmax of, exactly (float32). A file is replaced whole
/// or not at all; a device, pipe or link is written.
void write_predictions(const std::filesystem::path& path, const data::Task& task,
                       const data::Dataset& dataset, const EvalResult& result);

}  // namespace lotformer
