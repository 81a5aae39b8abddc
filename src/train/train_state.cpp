// SPDX-License-Identifier: MIT
#include "train_state.h"

#include "lotformer/core/text.h"

namespace lotformer {
namespace {

template <class T>
T get(const Json& json, const char* key, const std::string& where) {
  return json_get<T>(json, key, where, ErrorKind::checkpoint);
}

Json optional_score(const std::optional<Score>& score) {
  return score ? to_json(*score) : Json(nullptr);
}

void require(bool right, const std::string& where, const char* what) {
  if (!right) throw Error(ErrorKind::checkpoint, concat(where, ": ", what));
}

/// Numbers that a trainer would count or index with.
void require_consistent(const TrainState& state, const std::string& where) {
  require(state.step >= 0, where, "'step' is negative");
  require(state.evaluated_step >= -1 && state.evaluated_step <= state.step, where,
          "'evaluated_step' is no step that had been");
  require(state.chunks >= 0, where, "'chunks' is negative");
  for (const auto& score : {state.best, state.last, state.lost_best})
    require(!score || (score->step >= 0 && score->step <= state.step), where,
            "a score is of no step that had been");
  require(state.evaluated_step < 0 || state.best || state.lost_best, where,
          "'best' is null, though the run had been evaluated");
}

std::optional<Score> optional_score(const Json& json, const char* key, const std::string& where) {
  const Json value = get<Json>(json, key, where);
  return value.is_null() ? std::nullopt : std::optional(score_from_json(value, where));
}

}  // namespace

bool Score::better_than(const Score& other) const {
  return accuracy > other.accuracy || (accuracy == other.accuracy && loss < other.loss);
}

Score make_score(int64_t step, const EvalResult& r) {
  return {step, r.accuracy, r.loss, r.examples, r.available, r.transport};
}

Json to_json(const Score& s) {
  Json json = {{"step", s.step},
               {"accuracy", s.accuracy},
               {"loss", s.loss},
               {"examples", s.examples},
               {"available", s.available}};
  if (s.transport) json["transport"] = to_json(*s.transport);
  return json;
}

Score score_from_json(const Json& json, const std::string& where) {
  Score score{get<int64_t>(json, "step", where), get<double>(json, "accuracy", where),
              get<double>(json, "loss", where), get<int64_t>(json, "examples", where),
              get<int64_t>(json, "available", where)};
  if (json.contains("transport"))
    score.transport = transport_count_from_json(get<Json>(json, "transport", where), where + ": transport");
  return score;
}

Json to_json(const TrainState& state) {
  Json json = {{"step", state.step},
               {"evaluated_step", state.evaluated_step},
               {"best", optional_score(state.best)},
               {"last", optional_score(state.last)}};
  if (state.lost_best) json["lost_best"] = to_json(*state.lost_best);
  if (state.chunks > 0) json["chunks"] = state.chunks;
  if (!state.nonfinite.empty()) json["nonfinite"] = to_json(state.nonfinite);
  return json;
}

TrainState train_state_from_json(const Json& json, const std::string& where) {
  TrainState state{get<int64_t>(json, "step", where), get<int64_t>(json, "evaluated_step", where),
                   optional_score(json, "best", where), optional_score(json, "last", where)};
  if (json.contains("lost_best")) state.lost_best = optional_score(json, "lost_best", where);
  if (json.contains("chunks")) state.chunks = get<int64_t>(json, "chunks", where);
  if (json.contains("nonfinite"))
    state.nonfinite = nonfinite_history_from_json(get<Json>(json, "nonfinite", where), where + ": nonfinite");
  require_consistent(state, where);
  return state;
}

}  // namespace lotformer
