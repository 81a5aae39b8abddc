// SPDX-License-Identifier: MIT
#include "run_log.h"

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <utility>

#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"

namespace lotformer {
namespace {

std::string percent(double fraction) {
  return format_fixed(100 * fraction, 2) + " %";
}

std::string format_significant(double value) {
  std::ostringstream out;
  out << std::setprecision(3) << value;
  return out.str();
}

std::string rate(double per_second) {
  return per_second >= 1000 ? format_fixed(per_second / 1000, 1) + "k" : format_fixed(per_second, 1);
}

}  // namespace

RunLog::RunLog(const std::filesystem::path& run, c10::Device device, int64_t total_steps, Json labels,
               bool writes)
    : run_(run), device_(device), total_steps_(total_steps), labels_(std::move(labels)) {
  if (!writes) return;
  metrics_.emplace(run / "metrics.jsonl");
  timings_.emplace(run / "timings.jsonl");
}

void RunLog::record(const Json& line) {
  if (metrics_) metrics_->line(line);
  if (tensorboard_) tensorboard_->line(line);
}

int64_t RunLog::sync_metrics() {
  if (!metrics_) return 0;
  metrics_->sync();
  return metrics_->offset();
}

void RunLog::start_clock(int64_t step) {
  window_start_ = Clock::now();
  window_step_ = step;
  tokens_ = 0;
}

void RunLog::train_step(const TrainLine& t) {
  const LogWindow::Means& m = t.means;
  const int64_t step = t.step;
  Json line = {{"step", step},
               {"epoch", t.epoch},
               {"split", "train"},
               {"loss", m.loss},
               {"accuracy", m.accuracy},
               {"lr", t.lr},
               {"grad_norm", m.grad_norm},
               {"data_origin", labels_.at("data_origin")}};
  if (!t.solver.empty()) line["solver"] = t.solver;
  if (m.skipped > 0) line["skipped_updates"] = m.skipped;
  if (t.transport) line["transport"] = to_json(*t.transport);
  record(line);
  const double seconds = std::max(1e-9, std::chrono::duration<double>(Clock::now() - window_start_).count());
  const double steps_per_second = static_cast<double>(step - window_step_) / seconds;
  const double tokens_per_second = static_cast<double>(t.tokens) / seconds;
  const int64_t memory = peak_memory_bytes(device_);
  if (!timings_) return;
  timings_->line({{"phase", "train"},
                  {"step", step},
                  {"steps", step - window_step_},
                  {"seconds", seconds},
                  {"tokens", t.tokens},
                  {"peak_memory_bytes", memory}});
  const double left = static_cast<double>(total_steps_ - step) / std::max(steps_per_second, 1e-9);
  status_line_.show({"ETA " + format_duration(left), concat("step ", step, "/", total_steps_),
                     "loss " + format_fixed(m.loss, 4), "acc " + percent(m.accuracy),
                     format_fixed(steps_per_second, 2) + " step/s", "lr " + format_significant(t.lr),
                     "|g| " + format_fixed(m.grad_norm, 2), rate(tokens_per_second) + " tok/s",
                     "peak " + format_bytes(memory)},
                    static_cast<double>(step) / static_cast<double>(total_steps_), step == total_steps_);
  window_start_ = Clock::now();
  window_step_ = step;
}

void RunLog::diagnostics(int64_t step, const Json& layers) {
  record({{"step", step}, {"split", "diagnostics"}, {"layers", layers}});
}

void RunLog::ranks(int64_t step, const Json& layers) {
  record({{"step", step}, {"split", "rank"}, {"layers", layers}});
}

void RunLog::chunks(int64_t step, int64_t chunks) {
  record({{"step", step}, {"split", "microbatch"}, {"chunks", chunks}});
}

void RunLog::rollback(const Rollback& rollback) {
  Json line = {{"step", rollback.to}, {"split", "rollback"}};
  line.update(to_json(rollback));
  record(line);
}

void RunLog::score(const std::string& split, const Score& s, double seconds, const std::string& checkpoint) {
  Json line = {{"step", s.step},
               {"split", split},
               {"loss", s.loss},
               {"accuracy", s.accuracy},
               {"examples", s.examples}};
  if (s.transport) line["transport"] = to_json(*s.transport);
  if (!checkpoint.empty()) line["checkpoint"] = checkpoint;
  line.update(labels_);
  record(line);
  if (timings_)
    timings_->line({{"phase", "eval"},
                    {"step", s.step},
                    {"split", split},
                    {"seconds", seconds},
                    {"examples", s.examples}});
  const std::string part = s.examples < s.available ? concat(" of ", format_count(s.available)) : "";
  message(concat(split, checkpoint.empty() ? "" : " (" + checkpoint + " checkpoint)", " at step ", s.step,
                 ": accuracy ", percent(s.accuracy), ", loss ", format_fixed(s.loss, 4), " on ",
                 format_count(s.examples), part, " examples", data_note(), " in ", format_duration(seconds)));
}

/// What a number on the console must not be read without.
std::string RunLog::data_note() const {
  const auto origin = labels_.at("data_origin").get<std::string>();
  return origin == "official" ? "" : concat(" (", origin, " data)");
}

void RunLog::message(const std::string& text) {
  status_line_.finish();
  log::info(text);
}

Json summarise_timings(const std::filesystem::path& run) {
  double train = 0, eval = 0, tokens = 0, steps = 0;
  int64_t memory = 0;
  std::ifstream in(run / "timings.jsonl");
  for (std::string text; std::getline(in, text);) {
    const auto line = try_parse_json(text);
    if (!line) continue;  // the last line of a killed process may be cut
    const double seconds = json_or(*line, "seconds", 0.0);
    if (json_or<std::string>(*line, "phase", "") == "train") {
      train += seconds;
      steps += json_or(*line, "steps", 0.0);
      tokens += json_or(*line, "tokens", 0.0);
      memory = std::max(memory, json_or(*line, "peak_memory_bytes", int64_t{0}));
    } else {
      eval += seconds;
    }
  }
  return {{"train_seconds", train},
          {"eval_seconds", eval},
          {"steps_per_second", train > 0 ? steps / train : 0.0},
          {"tokens_per_second", train > 0 ? tokens / train : 0.0},
          {"peak_memory_bytes", memory}};
}

}  // namespace lotformer
