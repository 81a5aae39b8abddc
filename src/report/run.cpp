// SPDX-License-Identifier: MIT
#include "run.h"

#include <algorithm>
#include <functional>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "predictions.h"
#include "run_config.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostLogBytes = int64_t{256} << 20, kMostPlanBytes = 16 << 20;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

/// The file as JSON; null with a note when it is there and no good.
Json optional_json(const fs::path& path, std::vector<std::string>& notes) {
  if (!is_there(path)) return nullptr;
  try {
    return read_json(path, ErrorKind::usage);
  } catch (const Error& error) {
    notes.push_back(one_line(error.what()));
    return nullptr;
  }
}

/// Calls `use` with each line that is JSON. The last line of a log may be cut: training is under way.
void for_lines(const fs::path& path, std::vector<std::string>& notes,
               const std::function<void(const Json&)>& use) {
  if (!is_there(path)) return;
  std::string text;
  try {
    text = read_file(path, ErrorKind::usage, kMostLogBytes);
  } catch (const Error& error) {
    notes.push_back(one_line(error.what()));
    return;
  }
  int64_t bad = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const auto line = try_parse_json(std::string_view(text).substr(begin, end - begin));
    if (line && line->is_object()) {
      use(*line);
    } else {
      ++bad;
    }
    begin = end + 1;
  }
  if (bad > 0)
    notes.push_back(concat(path.filename().string(), ": ", bad, " lines are no JSON and were left out"));
}

std::optional<Score> score_of(const Json& object) {
  if (!object.is_object() || !object.contains("accuracy")) return std::nullopt;
  Score score;
  score.step = json_or(object, "step", int64_t{0});
  score.examples = json_or(object, "examples", int64_t{0});
  score.accuracy = json_or(object, "accuracy", 0.0);
  score.loss = json_or(object, "loss", 0.0);
  const Json transport = json_or(object, "transport", Json::object());
  score.problems = json_or(transport, "problems", int64_t{0});
  score.unconverged = json_or(transport, "unconverged", int64_t{0});
  return score;
}

Json member(const Json& object, const char* key) {
  return json_or(object, key, Json());
}

void read_results(Run& run, const Json& results) {
  if (!results.is_object()) return;
  run.task = json_or(results, "task", run.task);
  run.module = json_or(results, "attention", run.module);
  run.protocol = json_or(results, "protocol", run.protocol);
  run.data_origin = json_or(results, "data_origin", run.data_origin);
  run.val_is_test = json_or(results, "val_is_test", false);
  run.precision = json_or(results, "precision", std::string());
  run.device = json_or(results, "device", std::string());
  run.build = json_or(results, "build_id", std::string());
  run.seed = json_or(results, "seed", run.seed);
  run.steps = json_or(results, "steps", run.steps);
  run.parameters = json_or(results, "parameters", int64_t{0});
  run.threads = json_or(results, "threads", int64_t{0});
  run.test_fingerprint = json_or(member(results, "data_fingerprints"), "test", run.test_fingerprint);
  run.val = score_of(member(results, "val"));
  run.test = score_of(member(results, "test"));
  if (run.test) {
    run.state = State::finished;
  } else {
    run.notes.push_back("results.json holds no score of the test split");
  }
  const Json last = member(results, "last");
  run.last_val = score_of(member(last, "val"));
  run.last_test = score_of(member(last, "test"));
  const Json times = member(results, "times");
  run.steps_per_second = json_or(times, "steps_per_second", 0.0);
  run.train_seconds = json_or(times, "train_seconds", 0.0);
  run.peak_memory_bytes = json_or(times, "peak_memory_bytes", int64_t{0});
  const Json constant = member(results, "constant_predictor");
  if (constant.is_object() && constant.contains("val_accuracy"))
    run.constant_accuracy = json_or(constant, "val_accuracy", 0.0);
}

/// Adds the numbers of {"layer0": {"passes_mean": 2.5, ...}, ...} to the series.
class SeriesCollector {
 public:
  explicit SeriesCollector(std::vector<Series>& series) : series_(series) {}

  void add(const std::string& source, int64_t step, const Json& layers) {
    if (!layers.is_object()) return;
    for (const auto& [layer, values] : layers.items()) {
      if (!values.is_object()) continue;
      for (const auto& [key, value] : values.items()) {
        if (value.is_number()) put(source, layer, key, step, value.get<double>());
      }
    }
  }

 private:
  void put(const std::string& source, const std::string& layer, const std::string& key, int64_t step,
           double value) {
    const auto [place, is_new] = index_.try_emplace(source + "/" + layer + "/" + key, series_.size());
    if (is_new) series_.push_back({source, layer, key, {}, {}});
    series_[place->second].steps.push_back(step);
    series_[place->second].values.push_back(value);
  }
  std::vector<Series>& series_;
  std::map<std::string, size_t> index_;
};

void read_metrics(Run& run) {
  SeriesCollector series(run.series);
  for_lines(run.folder / "metrics.jsonl", run.notes, [&](const Json& line) {
    const std::string split = json_or(line, "split", std::string());
    const int64_t step = json_or(line, "step", int64_t{0});
    run.step = std::max(run.step, step);
    if (run.data_origin.empty()) run.data_origin = json_or(line, "data_origin", std::string());
    if (split == "train") {
      run.training.push_back({step, json_or(line, "loss", 0.0), json_or(line, "accuracy", 0.0),
                              json_or(line, "lr", 0.0), json_or(line, "grad_norm", 0.0)});
      series.add("solver", step, member(line, "solver"));
    } else if (split == "val") {
      if (auto score = score_of(line)) run.validation.push_back(*score);
    } else if (split == "diagnostics" || split == "rank") {
      series.add(split, step, member(line, "layers"));
    }
  });
}

void read_timings(Run& run) {
  double steps = 0;
  for_lines(run.folder / "timings.jsonl", run.notes, [&](const Json& line) {
    run.peak_memory_bytes = std::max(run.peak_memory_bytes, json_or(line, "peak_memory_bytes", int64_t{0}));
    if (json_or(line, "phase", std::string()) != "train") return;
    const int64_t step = json_or(line, "step", int64_t{0});
    // A run that was broken off has done some steps twice; the later time is the one of the record.
    while (!run.timed_steps.empty() && run.timed_steps.back() >= step) {
      run.timed_steps.pop_back();
      run.seconds.pop_back();
    }
    const double before = run.seconds.empty() ? 0.0 : run.seconds.back();
    run.timed_steps.push_back(step);
    run.seconds.push_back(before + json_or(line, "seconds", 0.0));
    steps = static_cast<double>(step);
  });
  if (run.seconds.empty()) return;
  if (run.train_seconds == 0) run.train_seconds = run.seconds.back();
  if (run.steps_per_second == 0 && run.seconds.back() > 0) run.steps_per_second = steps / run.seconds.back();
}

int64_t to_int(const std::string& text) {
  try {
    return std::stoll(text);
  } catch (const std::exception&) {
    return 0;
  }
}

void take_from_config(Run& run) {
  const auto get = [&](const char* key) {
    const auto place = run.config.find(key);
    return place == run.config.end() ? std::string() : place->second;
  };
  run.task = get("task");
  run.protocol = get("protocol");
  run.module = get("model.attention.kind");
  run.steps = to_int(get("train.steps"));
  run.seed = to_int(get("train.seed"));
}

void read_extras(Run& run) {
  run.predictions = read_predictions(run.folder, run.notes);
  const fs::path plans = run.folder / "evaluation" / "plans.json";
  std::error_code ignored;
  if (is_there(plans) && fs::file_size(plans, ignored) > static_cast<uintmax_t>(kMostPlanBytes)) {
    run.notes.push_back("evaluation/plans.json is larger than 16 MiB and was left out");
  } else {
    run.plans = optional_json(plans, run.notes);
  }
}

/// What a reader has to know before he believes a number.
void add_remarks(Run& run) {
  if (run.task.empty() && run.training.empty() && run.validation.empty()) {
    run.state = State::unreadable;
    run.notes.push_back("nothing of a run of lotformer-train can be read here");
  } else if (run.state != State::finished) {
    run.state = State::unfinished;
    run.notes.push_back(concat("not finished: step ", run.step, " of ", run.steps));
  }
  for (const auto* score : {&run.test, &run.last_test}) {
    if (!*score || (*score)->unconverged == 0) continue;
    run.notes.push_back(concat((*score)->unconverged, " of ", (*score)->problems,
                               " transport problems of the test ended above the tolerance"));
    break;
  }
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::finished:
      return "finished";
    case State::unfinished:
      return "not finished";
    default:
      return "unreadable";
  }
}

Run read_run(const fs::path& folder) {
  Run run;
  run.folder = folder;
  const Json mark = optional_json(folder / "run.json", run.notes);
  run.config = read_config(folder, mark, run.notes);
  take_from_config(run);
  run.test_fingerprint = json_or(member(mark, "data_fingerprints"), "test", std::string());
  if (const Json init = member(mark, "init_from"); init.is_object())
    run.config["--init-from"] =
        concat(json_or(init, "path", std::string()), " at step ", json_or(init, "step", int64_t{0}));
  read_metrics(run);
  read_results(run, optional_json(folder / "results.json", run.notes));
  read_timings(run);
  read_extras(run);
  add_remarks(run);
  return run;
}

}  // namespace lotformer::report
