// SPDX-License-Identifier: MIT
#include "lotformer/train/evaluation.h"

#include <algorithm>
#include <map>

#include "lotformer/attention/attention.h"
#include "lotformer/config/load.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/processors.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "plans.h"
#include "prediction_file.h"
#include "report_files.h"
#include "train/run/results.h"
#include "train/run/run_folder.h"
#include "train/trainer.h"

namespace lotformer {
namespace {

struct Tally {
  int64_t examples = 0, correct = 0, predicted = 0;
  double accuracy() const {
    return examples > 0 ? static_cast<double>(correct) / static_cast<double>(examples) : 0.0;
  }
};

data::Split parse_split(const std::string& text) {
  if (text == "val") return data::Split::val;
  if (text == "test") return data::Split::test;
  throw Error(ErrorKind::usage, "--split: " + quoted(text) + " is none of val, test");
}

Json class_table(const data::Task& task, const std::vector<Prediction>& predictions) {
  std::vector<Tally> tallies(static_cast<size_t>(task.num_classes()));
  for (const Prediction& example : predictions) {
    Tally& tally = tallies[static_cast<size_t>(example.label)];
    ++tally.examples;
    tally.correct += example.predicted == example.label ? 1 : 0;
    ++tallies[static_cast<size_t>(example.predicted)].predicted;
  }
  Json table = Json::array();
  const auto names = task.class_names();
  for (size_t c = 0; c < tallies.size(); ++c) {
    table.push_back({{"class", names[c]},
                     {"examples", tallies[c].examples},
                     {"predicted", tallies[c].predicted},
                     {"recall", tallies[c].accuracy()}});
  }
  return table;
}

Json breakdown(const data::Attribute& attribute, const data::Dataset& dataset,
               const std::vector<Prediction>& predictions) {
  std::vector<Tally> bins(attribute.edges.size() - 1);
  Tally outside;
  for (const Prediction& example : predictions) {
    const auto upper = std::upper_bound(attribute.edges.begin(), attribute.edges.end(),
                                        attribute.value(dataset, example.row));
    const bool inside = upper != attribute.edges.begin() && upper != attribute.edges.end();
    Tally& bin = inside ? bins[static_cast<size_t>(upper - attribute.edges.begin() - 1)] : outside;
    ++bin.examples;
    bin.correct += example.predicted == example.label ? 1 : 0;
  }
  Json table = Json::array();
  for (size_t b = 0; b < bins.size(); ++b) {
    if (bins[b].examples == 0) continue;
    table.push_back({{"from", attribute.edges[b]},
                     {"below", attribute.edges[b + 1]},
                     {"examples", bins[b].examples},
                     {"accuracy", bins[b].accuracy()}});
  }
  if (outside.examples > 0)
    table.push_back({{"from", nullptr},
                     {"below", nullptr},
                     {"examples", outside.examples},
                     {"accuracy", outside.accuracy()}});
  return table;
}

/// What the run itself logged for this step and split, from metrics.jsonl beside the checkpoint; null when it
/// did not.
Json logged_score(const Checkpoint& checkpoint, const std::string& split) {
  const auto metrics =
      std::filesystem::absolute(checkpoint.path).parent_path().parent_path() / "metrics.jsonl";
  Json found = nullptr;
  if (!std::filesystem::exists(metrics)) return found;
  const std::string text = read_file(metrics, ErrorKind::checkpoint);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const auto line = try_parse_json(std::string_view(text).substr(begin, end - begin));
    if (line && json_or<std::string>(*line, "split", "") == split &&
        json_or<int64_t>(*line, "step", -1) == checkpoint.step)
      found = *line;
    begin = end + 1;
  }
  return found;
}

/// Finds out before the work whether the table can be written.
/// False, with a warning, when the split is not the one that the run had under this name.
bool is_same_data(const Checkpoint& checkpoint, const std::string& split, const data::Dataset& dataset) {
  const Json recorded = checkpoint.state.value("data_fingerprints", Json::object());
  const auto fingerprint = json_or(recorded, split.c_str(), dataset.fingerprint());
  if (fingerprint == dataset.fingerprint()) return true;
  log::warning(
      concat("the ", split, " split is not the one of the run (fingerprint ", dataset.fingerprint(), ")"));
  return false;
}

/// The recorded thread count unless the user sets one: sums, and so the last bits, depend on it. A number
/// that this machine cannot mean is not tried.
int64_t threads_for(const Checkpoint& checkpoint, const Config& config) {
  if (config.train.threads > 0) return config.train.threads;
  const auto recorded = checkpoint.state.find("threads");
  if (recorded == checkpoint.state.end()) return 0;
  const std::string where = (checkpoint.path / kStateFile).string();
  const auto threads = json_get<int64_t>(checkpoint.state, "threads", where, ErrorKind::checkpoint);
  if (threads >= 0 && threads <= most_threads()) return threads;
  log::warning(concat(where, ": was made with ", threads, " threads, more than this machine can mean; now ",
                      usable_processors(), ": the last bits of results will differ"));
  return 0;
}

}  // namespace

Json launch_evaluation(const EvaluationRequest& asked) {
  const EvaluationRequest request = asked.for_report ? with_report_files(asked) : asked;
  check_predictions_path(request.predictions);
  check_plan_request(request.plans);
  const StopSignals at_once(StopSignals::Ignored::take, StopSignals::Then::leave,
                            "the same command starts anew");
  const data::Split split = parse_split(request.split);
  const Checkpoint checkpoint = resolve_weights(request.path, parse_which_checkpoint(request.checkpoint));
  const std::string where = (checkpoint.path / kStateFile).string();
  Config config = config_from_json(json_get<Json>(checkpoint.state, "config", where, ErrorKind::checkpoint),
                                   request.assignments, {attention_kinds(), data::task_kinds()}, where);
  const int64_t threads = threads_for(checkpoint, config);
  wait_passively(threads);
  config.data.generate_missing = false;  // data are made for training only; here a missing folder is an error
  Session session = open_session(config, parse_device(request.device), threads);
  load_parameters(*session.model, checkpoint.model, (checkpoint.path / kModelFile).string());
  const data::Dataset dataset = open_split(session, split);
  const bool same_data = is_same_data(checkpoint, request.split, dataset);
  PlanRequest plans = request.plans;
  if (asked.for_report) {
    remove_report_files(asked.path);
    plans = plans_for_report(session, dataset, plans);
  }
  if (!plans.file.empty()) {
    export_plans(session, dataset, plans,
                 {{"run", describe_run(session)},
                  {"checkpoint", checkpoint.path.string()},
                  {"step", checkpoint.step},
                  {"split", request.split}});
  }
  const auto result = evaluate(
      session, BatchMaker(dataset, config.data, session.device, batch_shapes(session)), [] { return false; });
  const StopSignals stop(StopSignals::Ignored::take);  // the table is written whole or not at all
  if (!request.predictions.empty()) write_predictions(request.predictions, *session.task, dataset, *result);

  const auto [low, high] = wilson_interval(result->accuracy, result->examples);
  Json json = {{"accuracy", result->accuracy},           {"loss", result->loss},
               {"examples", result->examples},           {"available", result->available},
               {"accuracy_interval_95", {low, high}},    {"split", request.split},
               {"checkpoint", checkpoint.path.string()}, {"step", checkpoint.step}};
  if (result->transport) {
    json["transport"] = to_json(*result->transport);
    warn_if_alarming(request.split, *result->transport);
  }
  json["metrics"] = session.task->metrics();  // where they stand: accuracy, loss, classes, by
  json["run"] = describe_run(session);
  json["references"] = references_json(*session.task);
  json["same_data"] = same_data;
  json["logged"] = same_data ? logged_score(checkpoint, request.split) : Json(nullptr);
  json["classes"] = class_table(*session.task, result->predictions);
  json["by"] = Json::object();
  for (const data::Attribute& attribute : session.task->attributes())
    json["by"][attribute.name] = breakdown(attribute, dataset, result->predictions);
  if (asked.for_report) mark_report_files(asked.path, json, dataset.fingerprint());
  return json;
}

}  // namespace lotformer
