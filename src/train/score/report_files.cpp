// SPDX-License-Identifier: MIT
#include "report_files.h"

#include <algorithm>

#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "lotformer/model/capabilities.h"

namespace lotformer {
namespace {

constexpr int64_t kMostNumbers = 400000;  // of plans in one page: about 3 MB of text
constexpr const char* kAbout = "about.json";
constexpr int64_t kReadable = 64, kLookedAt = 500;

/// An example whose tokens can be read one by one: the longest of at most kReadable among the first rows,
/// else the first.
int64_t example_to_show(const data::Dataset& dataset) {
  int64_t chosen = 0, longest = 0;
  for (int64_t row = 0; row < std::min(dataset.size(), kLookedAt); ++row) {
    const int64_t length = dataset.length(row, 0);
    if (length > kReadable || length <= longest) continue;
    chosen = row;
    longest = length;
  }
  return chosen;
}

/// r of the layer that has the most.
int64_t most_pivots(Session& session) {
  int64_t most = 0;
  for (const auto& parameter : session.model->named_parameters()) {
    if (parameter.key().ends_with(".pivots")) most = std::max(most, parameter.value().size(1));
  }
  return most;
}

}  // namespace

EvaluationRequest with_report_files(const EvaluationRequest& request) {
  if (!request.predictions.empty() || !request.plans.file.empty())
    throw Error(ErrorKind::usage, "--for-report has files of its own; leave out --predictions and --plans");
  if (request.split != "test")
    throw Error(ErrorKind::usage, "--for-report is about the test split; leave out --split");
  if (!std::filesystem::is_directory(request.path / "checkpoints"))
    throw Error(ErrorKind::usage, concat("--for-report: ", request.path.string(), " is no run folder"));
  EvaluationRequest result = request;
  const auto folder = request.path / "evaluation";
  if (std::filesystem::is_symlink(folder))
    throw Error(ErrorKind::usage,
                folder.string() + ": is a link, and nothing is written through links in a run folder");
  lotformer::create_directories(folder);
  result.predictions = folder / "predictions.tsv";
  result.plans.file = folder / "plans.json";
  return result;
}

void remove_report_files(const std::filesystem::path& run) {
  std::error_code ignored;
  for (const char* name : {kAbout, "predictions.tsv", "plans.json"})
    std::filesystem::remove(run / "evaluation" / name, ignored);
}

void mark_report_files(const std::filesystem::path& run, const Json& evaluation,
                       const std::string& fingerprint) {
  Json about = {{"test_fingerprint", fingerprint}};
  for (const char* key : {"step", "examples", "accuracy", "checkpoint"}) about[key] = evaluation.at(key);
  write_atomic(run / "evaluation" / kAbout, to_pretty_text(about));
}

PlanRequest plans_for_report(Session& session, const data::Dataset& dataset, const PlanRequest& request) {
  const auto planners = layers_as<HasPlans>(session.model->encoder());
  const ModelConfig& model = session.config.model;
  PlanRequest result = request;
  if (std::find(planners.begin(), planners.end(), nullptr) != planners.end() || dataset.size() == 0) {
    result.file.clear();
    return result;
  }
  result.rows = {example_to_show(dataset)};
  int64_t tokens = 0;
  for (int64_t s = 0; s < dataset.sequences(); ++s) tokens += dataset.length(result.rows[0], s);
  const int64_t each = std::max<int64_t>(2 * most_pivots(session) * tokens * model.layers, 1);
  const int64_t heads = std::clamp<int64_t>(kMostNumbers / each, 1, model.heads);
  // Where not even one head of all layers fits, the first layers stand for them.
  const int64_t layers = std::clamp<int64_t>(kMostNumbers * model.layers / each, 1, model.layers);
  result.layers.clear();
  for (int64_t l = 0; l < layers; ++l) result.layers.push_back(l);
  result.heads.clear();
  for (int64_t h = 0; h < heads; ++h) result.heads.push_back(h);
  return result;
}

}  // namespace lotformer
