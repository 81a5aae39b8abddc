// SPDX-License-Identifier: MIT
// One run folder as the report sees it. Reading never fails: what is missing, cut or of another kind is said
// in `notes`, and the rest is shown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer::report {

enum class State {
  finished,    // results.json is there
  unfinished,  // training is under way, or was broken off
  unreadable,  // a run folder of which nothing can be shown
};
std::string_view to_string(State state);

/// What a split scored. Accuracies in [0, 1].
struct Score {
  int64_t step = 0, examples = 0, available = 0;
  double accuracy = 0, loss = 0;
  /// Problems of transport that ended above the tolerance.
  int64_t problems = 0, unconverged = 0;
};

/// A line of metrics.jsonl with "split": "train".
struct TrainingPoint {
  int64_t step = 0;
  double loss = 0, accuracy = 0, lr = 0, grad_norm = 0;
};

/// A number over training: of a layer (solver, diagnostics), by its key.
struct Series {
  std::string source;  // "solver", "diagnostics", "rank"
  std::string layer, key;
  std::vector<int64_t> steps;
  std::vector<double> values;
};

/// A row of predictions.tsv. attributes: as the header of the file names them (length, depth).
struct PredictionTable {
  std::vector<std::string> classes;     // names, may be empty
  std::vector<std::string> attributes;  // names
  std::vector<int64_t> label, prediction;
  std::vector<std::vector<int64_t>> attribute_values;  // [attribute][row]
};

struct Run {
  std::filesystem::path folder;
  State state = State::unreadable;
  std::vector<std::string> notes;

  std::string task, module, protocol, data_origin, precision, device, build, test_fingerprint;
  bool val_is_test = false;
  /// Among `notes` is one that a reader of the accuracy has to know.
  bool qualified = false;
  /// train.steps, and the last step that was logged.
  int64_t steps = 0, step = 0;
  int64_t seed = 0, parameters = 0, peak_memory_bytes = 0, threads = 0;
  double steps_per_second = 0, train_seconds = 0;
  /// Every key of the recorded configuration with its value as text: "model.dim" -> "64". Beside them, what
  /// makes another experiment without being a key: "--init-from", "--extend", "precision", "data.train".
  std::map<std::string, std::string> config;

  std::vector<TrainingPoint> training;
  std::vector<Score> validation;
  std::optional<Score> val, test, last_val, last_test;
  /// Accuracy of the best predictor that looks at no sequence, in [0, 1].
  std::optional<double> constant_accuracy;
  /// Seconds of training at each logged step, evaluations left out.
  std::vector<int64_t> timed_steps;
  std::vector<double> seconds;
  std::vector<Series> series;

  std::optional<PredictionTable> predictions;
  /// Examples as lotformer-eval --plans writes them (plans.h); null when there are none.
  Json plans;
};

/// Reads a folder of lotformer-train.
Run read_run(const std::filesystem::path& folder);

/// Whether a folder is one of lotformer-train, by what lies in it.
bool is_run_folder(const std::filesystem::path& folder);

/// Run folders below `places`, each a run or a folder of runs (a sweep), sorted, each once whatever leads to
/// it. Error(usage) naming a place that does not exist; one without any run is told in `notes`.
std::vector<std::filesystem::path> find_runs(const std::vector<std::filesystem::path>& places,
                                             std::vector<std::string>& notes);

}  // namespace lotformer::report
