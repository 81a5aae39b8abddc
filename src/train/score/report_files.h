// SPDX-License-Identifier: MIT
// lotformer-eval --for-report: which files, and how much of the plans.
#pragma once

#include "lotformer/core/json.h"
#include "lotformer/data/dataset.h"
#include "lotformer/train/evaluation.h"
#include "train/session.h"

namespace lotformer {

/// The request with RUN/evaluation/predictions.tsv and plans.json; the folder is made. Error(usage) where the
/// path is no run folder, the split is not the test split, or the user names files of his own.
EvaluationRequest with_report_files(const EvaluationRequest& request);

/// Those of an earlier evaluation.
void remove_report_files(const std::filesystem::path& run);

/// Written last: RUN/evaluation/about.json says which checkpoint and data the files there are
/// of, so that a report does not show them beside other results.
void mark_report_files(const std::filesystem::path& run, const Json& evaluation,
                       const std::string& fingerprint);

/// Nothing for a module without plans; else all layers, and as many heads of one example as a page can hold.
PlanRequest plans_for_report(Session& session, const data::Dataset& dataset, const PlanRequest& request);

}  // namespace lotformer
