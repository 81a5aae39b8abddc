// SPDX-License-Identifier: MIT
#include "tensorboard_log.h"

#include <fstream>
#include <set>
#include <vector>

namespace lotformer {

TensorboardLog::TensorboardLog(const std::filesystem::path& run, int64_t step,
                               const std::string& configuration)
    : events_(run / "tensorboard", step) {
  std::string indented = "    ";  // Markdown shows indented text as it stands
  for (const char c : configuration) indented += c == '\n' ? std::string("\n    ") : std::string(1, c);
  events_.text(step, "configuration", indented);
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string text; std::getline(metrics, text);) {
    const auto known = try_parse_json(text);
    if (known && json_or(*known, "step", int64_t{-1}) == step) line(*known);
  }
  events_.flush();
}

void TensorboardLog::line(const Json& metrics) {
  static const std::set<std::string> counters = {"step", "epoch", "examples"};
  const auto step = json_or(metrics, "step", int64_t{0});
  const auto split = json_or(metrics, "split", std::string("other"));
  const auto checkpoint = json_or(metrics, "checkpoint", std::string());
  const std::string prefix = checkpoint.empty() ? split : split + "_" + checkpoint;
  for (const auto& [key, value] : metrics.items()) {
    if (!counters.contains(key)) add(step, prefix + "/" + key, value);
  }
  events_.flush();
}

void TensorboardLog::add(int64_t step, const std::string& tag, const Json& value) {
  if (value.is_number()) events_.scalar(step, tag, value.get<double>());
  if (value.is_array()) {
    std::vector<float> numbers;
    for (const Json& entry : value) {
      if (entry.is_number()) numbers.push_back(entry.get<float>());
    }
    if (!numbers.empty()) events_.histogram(step, tag, numbers);
  }
  if (!value.is_object()) return;
  for (const auto& [key, member] : value.items()) add(step, tag + "/" + key, member);
}

}  // namespace lotformer
