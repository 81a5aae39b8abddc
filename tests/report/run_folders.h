// SPDX-License-Identifier: MIT
// Run folders as lotformer-train leaves them, made of a few numbers.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/core/text.h"

namespace lotformer::report::test {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

constexpr int64_t kExamples = 2;  // of the test split

struct MadeRun {
  std::string task = "listops", module = "softmax", kind = "softmax", origin = "official",
              protocol = "default", fingerprint = "f1", train_fingerprint = "t1", precision = "fp32";
  int64_t seed = 0, dim = 64, steps = 20;
  double best = 0.5, last = 0.4;
  bool finished = true;
};

/// Training lines at 10 and 20, validation at 20; the test scores where it is finished.
inline void make_run(const std::filesystem::path& folder, const MadeRun& made) {
  const Json config = {
      {"task", made.task},
      {"protocol", made.protocol},
      {"model", {{"dim", made.dim}, {"attention", {{"kind", made.kind}}}}},
      {"train", {{"steps", made.steps}, {"seed", made.seed}, {"log_every", 10 + made.seed}}}};
  write_text(folder / "run.json",
             to_pretty_text(
                 {{"format", "lotformer-run"},
                  {"version", 1},
                  {"config", config},
                  {"run",
                   {{"task", made.task},
                    {"attention", made.module},
                    {"protocol", made.protocol},
                    {"data_origin", made.origin},
                    {"precision", made.precision}}},
                  {"data_fingerprints", {{"train", made.train_fingerprint}, {"test", made.fingerprint}}}}));
  std::string metrics, timings;
  for (const int64_t step : {10, 20}) {
    metrics += to_line({{"step", step},
                        {"split", "train"},
                        {"loss", 2.0 - 0.01 * static_cast<double>(step)},
                        {"accuracy", 0.3},
                        {"lr", 0.001},
                        {"grad_norm", 1.5},
                        {"data_origin", made.origin},
                        {"solver", {{"layer0", {{"passes_mean", 2.5}}}}}}) +
               "\n";
    timings += to_line({{"phase", "train"},
                        {"step", step},
                        {"steps", 10},
                        {"seconds", 2.0},
                        {"tokens", 100},
                        {"peak_memory_bytes", 1 << 20}}) +
               "\n";
  }
  metrics +=
      to_line({{"step", 20}, {"split", "val"}, {"loss", 1.0}, {"accuracy", made.best}, {"examples", 100}}) +
      "\n";
  write_text(folder / "metrics.jsonl", metrics);
  write_text(folder / "timings.jsonl", timings);
  if (!made.finished) return;
  const auto score = [](double accuracy) {
    return Json{{"accuracy", accuracy}, {"loss", 1.0}, {"examples", kExamples}, {"step", 20}};
  };
  write_text(
      folder / "results.json",
      to_pretty_text(
          {{"task", made.task},
           {"attention", made.module},
           {"protocol", made.protocol},
           {"data_origin", made.origin},
           {"seed", made.seed},
           {"steps", made.steps},
           {"parameters", 1000},
           {"precision", made.precision},
           {"device", "cpu"},
           {"threads", 2},
           {"build_id", "0.1.0+abc"},
           {"val", score(made.best)},
           {"test", score(made.best)},
           {"last", {{"val", score(made.last)}, {"test", score(made.last)}}},
           {"data_fingerprints", {{"train", made.train_fingerprint}, {"test", made.fingerprint}}},
           {"times", {{"train_seconds", 4.0}, {"steps_per_second", 5.0}, {"peak_memory_bytes", 1 << 20}}}}));
}

/// The mark of lotformer-eval --for-report, of the results of make_run().
inline void make_about(const std::filesystem::path& folder, int64_t step = 20) {
  write_text(folder / "evaluation/about.json",
             to_pretty_text({{"step", step}, {"examples", kExamples}, {"test_fingerprint", "f1"}}));
}

}  // namespace lotformer::report::test
