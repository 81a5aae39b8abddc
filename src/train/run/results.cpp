// SPDX-License-Identifier: MIT
#include "results.h"

#include <cmath>

#include "lotformer/config/load.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/launch.h"

namespace lotformer {
namespace {

Json describe_score(const Score& s) {
  const auto [low, high] = wilson_interval(s.accuracy, s.examples);
  Json json = {{"accuracy", s.accuracy},   {"loss", s.loss}, {"examples", s.examples},
               {"available", s.available}, {"step", s.step}, {"accuracy_interval_95", {low, high}}};
  if (s.examples < s.available) json["partial"] = true;
  if (s.transport) json["transport"] = to_json(*s.transport);
  return json;
}

}  // namespace

std::pair<double, double> wilson_interval(double p, int64_t examples) {
  constexpr double z = 1.959963984540054;
  const auto n = static_cast<double>(examples);
  const double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {centre - half, centre + half};
}

Json run_labels(const Session& s) {
  return {{"protocol", s.config.protocol_label},
          {"data_origin", s.task->data_origin()},
          {"val_is_test", s.task->val_is_test()}};
}

Json describe_run(const Session& s) {
  Json json = {{"task", s.task->name()}, {"attention", attention_name(s.config)}};
  json.update(run_labels(s));
  json.update({{"data_provenance", s.task->provenance()},
               {"config_hash", config_hash(s.config)},
               {"seed", s.config.train.seed},
               {"steps", s.config.train.steps},
               {"parameters", count_parameters(*s.model)},
               {"precision", s.precision},
               {"device", device_name(s.device)},
               {"threads", s.threads},
               {"processes", s.world->size()},
               {"build_id", build_id()}});
  return json;
}

Json references_json(data::Task& task) {
  Json list = Json::array();
  for (const data::Reference& r : task.references()) {
    list.push_back({{"name", r.name}, {"accuracy", r.accuracy}, {"source", r.source}});
  }
  return list;
}

std::string references_line(data::Task& task) {
  const auto references = task.references();
  if (references.empty()) return {};
  std::vector<std::string> parts;
  for (const data::Reference& r : references)
    parts.push_back(concat(r.name, " ", format_fixed(100 * r.accuracy, 1), " %"));
  return concat("reference: ", join(parts, ", "), " (", references.front().source, ")");
}

bool has_learned(const Score& validation, const ConstantPredictor& constant) {
  return wilson_interval(validation.accuracy, validation.examples).first > constant.accuracy;
}

Json make_results(const Session& s, const FinalScores& scores, const Json& timings) {
  Json json = describe_run(s);
  json["step_chosen"] = scores.best_val.step;
  json["val"] = describe_score(scores.best_val);
  json["test"] = describe_score(scores.best_test);
  if (scores.lost_best) json["lost_best"] = describe_score(*scores.lost_best);
  if (scores.chunks > 0) json["chunks"] = scores.chunks;
  if (!scores.nonfinite.empty()) json["nonfinite"] = to_json(scores.nonfinite);
  json["last"] = {{"val", describe_score(scores.last_val)}, {"test", describe_score(scores.last_test)}};
  json["constant_predictor"] = {{"class", scores.constant.label}, {"val_accuracy", scores.constant.accuracy}};
  // A shorter run has not had the time, so nothing is said about it.
  const int64_t plateau = s.config.train.plateau_steps;
  if (plateau > 0 && s.config.train.steps >= plateau)
    json["learned"] = has_learned(scores.last_val, scores.constant);
  if (s.config.eval.max_examples > 0) json["max_examples"] = s.config.eval.max_examples;
  json["references"] = references_json(*s.task);
  json["data_fingerprints"] = s.fingerprints;
  json["times"] = timings;
  return json;
}

namespace {

/// A member of the file, which may be a stranger's.
template <class T>
T results_member(const Json& json, const char* key) {
  return json_get<T>(json, key, "results.json", ErrorKind::checkpoint);
}

std::string said(const Json& json, const char* key) {
  return one_line(results_member<std::string>(json, key));
}

}  // namespace

std::string summarise_results(const Json& r) {
  const auto score = [](const Json& s) {
    return concat(format_fixed(100 * results_member<double>(s, "accuracy"), 2), " % (loss ",
                  format_fixed(results_member<double>(s, "loss"), 4), ", ",
                  results_member<int64_t>(s, "examples"),
                  s.value("partial", false) ? concat(" of ", results_member<int64_t>(s, "available")) : "",
                  " examples, step ", results_member<int64_t>(s, "step"), ")");
  };
  std::string text = concat(said(r, "task"), " ", said(r, "attention"), ", protocol ", said(r, "protocol"),
                            ", data_origin: ", said(r, "data_origin"), "\n");
  text += "  validation, best checkpoint: " + score(r.at("val")) + "\n";
  if (r.contains("lost_best"))
    text +=
        "  the best by validation is lost, its checkpoint was damaged: " + score(r.at("lost_best")) + "\n";
  text += "  test, best checkpoint:       " + score(r.at("test")) + "\n";
  text += "  test, last checkpoint:       " + score(r.at("last").at("test")) + "\n";
  if (const Json& test = r.at("test"); test.contains("transport")) {
    const TransportCount count = transport_count_from_json(test.at("transport"), "results.json");
    if (count.unconverged > 0) text += "  test, best checkpoint:       " + describe(count) + "\n";
  }
  if (!r.value("learned", true)) {
    text += concat("  NOT LEARNED: no better than always answering class ",
                   results_member<int64_t>(r.at("constant_predictor"), "class"), " (",
                   format_fixed(100 * results_member<double>(r.at("constant_predictor"), "val_accuracy"), 1),
                   " % on validation); docs/troubleshooting.md, 'It does not learn'\n");
  }
  if (r.contains("nonfinite"))
    text += concat("  ", describe(nonfinite_history_from_json(r.at("nonfinite"), "results.json")), "\n");
  for (const Json& reference : r.at("references")) {
    text += concat("  reference, ", said(reference, "name"), ": ",
                   format_fixed(100 * results_member<double>(reference, "accuracy"), 1), " % (",
                   said(reference, "source"), ")\n");
  }
  return text;
}

}  // namespace lotformer
