// SPDX-License-Identifier: MIT
// evaluation/predictions.tsv of a run folder, written by `lotformer-eval --for-report`.
#pragma once

#include "run.h"

namespace lotformer::report {

/// Nothing where there is no such file; what is wrong with one that is there is told in `notes`.
std::optional<PredictionTable> read_predictions(const std::filesystem::path& folder,
                                                std::vector<std::string>& notes);

/// counts[label][prediction].
std::vector<std::vector<int64_t>> confusion_of(const PredictionTable& table);

/// Accuracy in about `bins` groups of equal size, by the value of an attribute.
struct AccuracyBin {
  int64_t least, most, examples;
  double accuracy;
};
std::vector<AccuracyBin> accuracy_by(const PredictionTable& table, size_t attribute, int bins);

}  // namespace lotformer::report
