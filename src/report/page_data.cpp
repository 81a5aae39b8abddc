// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <cmath>

#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "page.h"
#include "predictions.h"
#include "run_config.h"

namespace lotformer::report {
namespace {

constexpr size_t kMostPoints = 2000;
constexpr int kBins = 12;  // of accuracy by length

/// Which of `count` points are shown: all, or about kMostPoints of them and the last.
std::vector<size_t> shown_of(size_t count) {
  const size_t stride = (count + kMostPoints - 1) / kMostPoints;
  std::vector<size_t> shown;
  for (size_t i = 0; i < count; i += std::max<size_t>(stride, 1)) shown.push_back(i);
  if (count > 0 && shown.back() != count - 1) shown.push_back(count - 1);
  return shown;
}

/// Four significant digits: more cannot be seen, and the file is half as large.
Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 4).ptr;
  double result = 0;
  std::from_chars(text, end, result);
  return result;
}

template <class Points, class Get>
Json column(const Points& points, Get get) {
  Json values = Json::array();
  for (const size_t i : shown_of(points.size())) values.push_back(get(points[i]));
  return values;
}

Json training_of(const Run& run) {
  const auto of = [&](auto member) {
    return column(run.training, [&](const TrainingPoint& p) { return rounded(p.*member); });
  };
  return {{"step", column(run.training, [](const TrainingPoint& p) { return p.step; })},
          {"loss", of(&TrainingPoint::loss)},
          {"accuracy", of(&TrainingPoint::accuracy)},
          {"lr", of(&TrainingPoint::lr)},
          {"grad_norm", of(&TrainingPoint::grad_norm)}};
}

Json validation_of(const Run& run) {
  return {{"step", column(run.validation, [](const Score& s) { return s.step; })},
          {"loss", column(run.validation, [](const Score& s) { return rounded(s.loss); })},
          {"accuracy", column(run.validation, [](const Score& s) { return rounded(s.accuracy); })}};
}

Json series_of(const Run& run) {
  Json result = Json::array();
  for (const Series& series : run.series)
    result.push_back({{"source", series.source},
                      {"layer", series.layer},
                      {"key", series.key},
                      {"step", column(series.steps, [](int64_t s) { return s; })},
                      {"value", column(series.values, [](double v) { return rounded(v); })}});
  return result;
}

Json predictions_of(const PredictionTable& table) {
  Json by = Json::array();
  for (size_t a = 0; a < table.attributes.size(); ++a) {
    Json bins = Json::array();
    for (const AccuracyBin& bin : accuracy_by(table, a, kBins))
      bins.push_back({{"least", bin.least},
                      {"most", bin.most},
                      {"examples", bin.examples},
                      {"accuracy", rounded(bin.accuracy)}});
    by.push_back({{"name", table.attributes[a]}, {"bins", std::move(bins)}});
  }
  return {{"classes", table.classes},
          {"examples", table.label.size()},
          {"confusion", confusion_of(table)},
          {"by", std::move(by)}};
}

Json score_json(const std::optional<Score>& score) {
  if (!score) return nullptr;
  return {{"accuracy", score->accuracy}, {"loss", rounded(score->loss)},      {"step", score->step},
          {"examples", score->examples}, {"unconverged", score->unconverged}, {"problems", score->problems}};
}

/// The plans with four digits each.
Json short_plans(const Json& plans) {
  if (plans.is_number_float()) return rounded(plans.get<double>());
  if (plans.is_array()) {
    Json result = Json::array();
    for (const auto& item : plans) result.push_back(short_plans(item));
    return result;
  }
  if (!plans.is_object()) return plans;
  Json result = Json::object();
  for (const auto& [key, value] : plans.items()) result[key] = short_plans(value);
  return result;
}

Json run_json(const Run& run) {
  Json config = Json::object();
  for (const auto& [key, value] : run.config) config[key] = value;
  return {{"folder", run.folder.string()},
          {"state", to_string(run.state)},
          {"notes", run.notes},
          {"task", run.task},
          {"module", run.module},
          {"protocol", run.protocol},
          {"data_origin", run.data_origin},
          {"val_is_test", run.val_is_test},
          {"seed", run.seed},
          {"steps", run.steps},
          {"step", run.step},
          {"parameters", run.parameters},
          {"peak_memory_bytes", run.peak_memory_bytes},
          {"steps_per_second", rounded(run.steps_per_second)},
          {"train_seconds", rounded(run.train_seconds)},
          {"precision", run.precision},
          {"device", run.device},
          {"threads", run.threads},
          {"build", run.build},
          {"constant_accuracy", run.constant_accuracy ? Json(*run.constant_accuracy) : Json()},
          {"val", score_json(run.val)},
          {"test", score_json(run.test)},
          {"last_test", score_json(run.last_test)},
          {"config", std::move(config)},
          {"training", training_of(run)},
          {"validation", validation_of(run)},
          {"time",
           {{"step", column(run.timed_steps, [](int64_t s) { return s; })},
            {"seconds", column(run.seconds, [](double s) { return rounded(s); })}}},
          {"series", series_of(run)},
          {"predictions", run.predictions ? predictions_of(*run.predictions) : Json()},
          {"plans", short_plans(run.plans)}};
}

}  // namespace

Json page_data(const std::vector<Run>& runs, const Table& table,
               const std::vector<PublishedTable>& published) {
  Json list = Json::array();
  for (size_t i = 0; i < runs.size(); ++i) {
    Json run = run_json(runs[i]);
    const auto place = table.place_of_run.find(i);
    run["row"] = place == table.place_of_run.end() ? Json() : Json(place->second.first);
    run["column"] = place == table.place_of_run.end() ? Json() : Json(place->second.second);
    list.push_back(std::move(run));
  }
  return {{"format", "lotformer-report"},  {"version", 1},
          {"build", build_id()},           {"bookkeeping", keys_of_no_experiment()},
          {"table", to_json(table, runs)}, {"published", to_json(published)},
          {"runs", std::move(list)}};
}

}  // namespace lotformer::report
