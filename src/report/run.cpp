// SPDX-License-Identifier: MIT
#include "run.h"

#include <algorithm>
#include <functional>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "plans.h"
#include "predictions.h"
#include "run_config.h"
#include "run_results.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostLogBytes = int64_t{256} << 20, kMostPlanBytes = 64 << 20;

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
      run.training.push_back({step, number_of(line, "loss"), number_of(line, "accuracy"),
                              number_of(line, "lr"), number_of(line, "grad_norm")});
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

/// Whether the files of lotformer-eval --for-report are of the checkpoint and the data that the results name.
bool evaluation_fits(Run& run) {
  const fs::path folder = run.folder / "evaluation";
  if (!is_there(folder)) return false;
  const Json about = optional_json(folder / "about.json", run.notes);
  // Builds of earlier days recorded no fingerprint; there the same accuracy has to do.
  const auto same_data = [&] {
    if (run.test_fingerprint.empty()) return number_of(about, "accuracy") == run.test->accuracy;
    return json_or(about, "test_fingerprint", std::string()) == run.test_fingerprint;
  };
  const bool fits = run.test && json_or(about, "step", int64_t{-1}) == run.test->step &&
                    json_or(about, "examples", int64_t{-1}) == run.test->examples && same_data();
  if (!fits)
    run.notes.push_back(
        "evaluation/ is of another checkpoint or other data than results.json, or was broken off, and is "
        "left out; "
        "lotformer-eval RUN --for-report makes it anew");
  return fits;
}

void read_extras(Run& run) {
  if (!evaluation_fits(run)) return;
  run.predictions = read_predictions(run.folder, run.notes);
  if (run.predictions && static_cast<int64_t>(run.predictions->label.size()) != run.test->examples) {
    run.notes.push_back(concat("evaluation/predictions.tsv has ", run.predictions->label.size(),
                               " rows, the test ", run.test->examples, " examples; it was left out"));
    run.predictions.reset();
  }
  const fs::path path = run.folder / "evaluation" / "plans.json";
  std::error_code ignored;
  if (!is_there(path)) return;
  if (fs::file_size(path, ignored) > static_cast<uintmax_t>(kMostPlanBytes)) {
    run.notes.push_back("evaluation/plans.json is larger than 64 MiB and was left out");
    return;
  }
  try {
    run.plans = checked_plans(
        parse_json(read_file(path, ErrorKind::usage, kMostPlanBytes), path.string(), ErrorKind::usage));
  } catch (const Error& error) {
    run.notes.push_back(one_line(error.what()));
  }
}

void add_state(Run& run) {
  if (run.task.empty() && run.training.empty() && run.validation.empty()) {
    run.state = State::unreadable;
    run.notes.push_back("nothing of a run of lotformer-train can be read here");
  } else if (run.state != State::finished) {
    run.state = State::unfinished;
    run.notes.push_back(concat("not finished: step ", run.step, " of ", run.steps));
  }
}

/// What makes another experiment though no key of the configuration says it.
void add_circumstances(Run& run, const Json& mark) {
  if (const Json init = member(mark, "init_from"); init.is_object())
    run.config["--init-from"] =
        concat(json_or(init, "path", std::string()), " at step ", json_or(init, "step", int64_t{0}));
  if (const Json extended = member(mark, "extended_from"); extended.is_array() && !extended.empty())
    run.config["--extend"] = "after " + to_line(extended);
  if (!run.precision.empty()) run.config["precision"] = run.precision;
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
  read_description(run, member(mark, "run"));
  read_fingerprints(run, member(mark, "data_fingerprints"));
  read_metrics(run);
  read_results(run, optional_json(folder / "results.json", run.notes));
  add_circumstances(run, mark);
  read_timings(run);
  read_extras(run);
  add_state(run);
  return run;
}

}  // namespace lotformer::report
