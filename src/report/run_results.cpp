// SPDX-License-Identifier: MIT
#include "run_results.h"

#include <cmath>
#include <limits>

#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

void qualify(Run& run, const std::string& note) {
  run.notes.push_back(note);
  run.qualified = true;
}

/// What a reader has to know before he believes a number.
void read_qualifications(Run& run, const Json& results) {
  if (run.val_is_test)
    qualify(run, "validation and test are the same files: the best checkpoint was chosen on the test split");
  if (results.contains("learned") && !json_or(results, "learned", true))
    qualify(run, "has not learned more than the best constant answer");
  if (results.contains("lost_best") && !results.at("lost_best").is_null())
    qualify(run, "the best checkpoint was lost; the score is that of another one");
  if (const Json nonfinite = member(results, "nonfinite"); nonfinite.is_object() && !nonfinite.empty())
    qualify(run, "steps were not finite: " + one_line(to_line(nonfinite)));
  if (run.test && run.test->examples < run.test->available)
    qualify(run, concat("scored on ", run.test->examples, " of ", run.test->available, " test examples"));
  if (run.test && run.test->unconverged > 0)
    qualify(run, concat(run.test->unconverged, " of ", run.test->problems,
                        " transport problems of the test ended above the tolerance"));
}

}  // namespace

double number_of(const Json& object, const char* key) {
  return json_or(object, key, kNoNumber);
}

std::optional<Score> score_of(const Json& object) {
  if (!object.is_object() || !std::isfinite(number_of(object, "accuracy"))) return std::nullopt;
  Score score;
  score.step = json_or(object, "step", int64_t{0});
  score.examples = json_or(object, "examples", int64_t{0});
  score.available = json_or(object, "available", score.examples);
  score.accuracy = number_of(object, "accuracy");
  score.loss = number_of(object, "loss");
  const Json transport = json_or(object, "transport", Json::object());
  score.problems = json_or(transport, "problems", int64_t{0});
  score.unconverged = json_or(transport, "unconverged", int64_t{0});
  return score;
}

Json member(const Json& object, const char* key) {
  return json_or(object, key, Json());
}

void read_description(Run& run, const Json& about) {
  if (!about.is_object()) return;
  run.task = json_or(about, "task", run.task);
  run.module = json_or(about, "attention", run.module);
  run.protocol = json_or(about, "protocol", run.protocol);
  run.data_origin = json_or(about, "data_origin", run.data_origin);
  run.val_is_test = json_or(about, "val_is_test", run.val_is_test);
  run.precision = json_or(about, "precision", run.precision);
  run.device = json_or(about, "device", run.device);
  run.build = json_or(about, "build_id", run.build);
  run.seed = json_or(about, "seed", run.seed);
  run.parameters = json_or(about, "parameters", run.parameters);
  run.threads = json_or(about, "threads", run.threads);
}

void read_fingerprints(Run& run, const Json& fingerprints) {
  run.test_fingerprint = json_or(fingerprints, "test", run.test_fingerprint);
  // Training on other data is another experiment, wherever they lie.
  for (const char* split : {"train", "val"}) {
    const auto fingerprint = json_or(fingerprints, split, std::string());
    if (!fingerprint.empty()) run.config[concat("data.", split)] = fingerprint.substr(0, 8);
  }
}

void read_results(Run& run, const Json& results) {
  if (!results.is_object()) return;
  read_description(run, results);
  run.steps = json_or(results, "steps", run.steps);
  read_fingerprints(run, member(results, "data_fingerprints"));
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
  read_qualifications(run, results);
}

}  // namespace lotformer::report
