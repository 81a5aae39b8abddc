// SPDX-License-Identifier: MIT
#include "lotformer/bench/attention_bench.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "candidate.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/device_memory.h"

namespace lotformer::bench {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

template <class Work>
double microseconds(c10::Device device, Work&& work) {
  if (device.is_cuda()) cuda_synchronize(device.index());
  const auto start = std::chrono::steady_clock::now();
  work();
  if (device.is_cuda()) cuda_synchronize(device.index());
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

struct Times {
  std::vector<double> forward, both;
};

/// Every candidate once a round, so that a slow minute of the machine falls on all of them.
Json measure_setting(const Request& request, const Setting& setting) {
  std::vector<Subject> subjects;
  for (const Candidate& candidate : request.candidates) subjects.emplace_back(request, setting, candidate);
  std::vector<Times> times(subjects.size());
  std::vector<int64_t> peaks;
  for (Subject& subject : subjects) peaks.push_back(subject.peak_bytes());  // the warm-up round
  for (int64_t round = 0; round < request.rounds; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      times[i].forward.push_back(microseconds(request.device, [&] { subjects[i].forward(); }));
      times[i].both.push_back(microseconds(request.device, [&] { subjects[i].forward_backward(); }));
    }
  }
  Json rows = Json::array();
  for (size_t i = 0; i < subjects.size(); ++i) {
    const Candidate& candidate = request.candidates[i];
    rows.push_back({{"attention", candidate.attention},
                    {"mode", subjects[i].mode()},
                    {"task", setting.task},
                    {"n", setting.tokens},
                    {"pivots", candidate.attention == "lotformer" ? Json(setting.pivots) : Json()},
                    {"batch", request.batch},
                    {"forward_us", median(times[i].forward)},
                    {"median_us", median(times[i].both)},
                    {"peak_bytes", peaks[i]}});
  }
  return rows;
}

/// Adds `name`: time of each row over that of the row of the same task that `is_base` picks.
template <class Pick>
void add_ratios(Json& rows, const char* name, const Pick& is_base) {
  for (Json& row : rows) {
    row[name] = nullptr;
    for (const Json& base : rows) {
      if (base["task"] == row["task"] && is_base(base))
        row[name] = row["median_us"].get<double>() / base["median_us"].get<double>();
    }
  }
}

Json header(const Request& request) {
  return {{"device", device_name(request.device)},
          {"threads", at::get_num_threads()},
          {"build_id", build_id()},
          {"dtype", std::string(c10::toString(request.dtype))},
          {"heads", request.heads},
          {"head_dim", request.head_dim},
          {"rounds", request.rounds},
          {"score_std", request.score_std}};
}

std::string ratio_text(const Json& value) {
  return value.is_null() ? "-" : format_fixed(value.get<double>(), 2);
}

std::string name_of(const Json& row) {
  const auto mode = row["mode"].get<std::string>();
  return row["attention"].get<std::string>() + (mode.empty() ? "" : ", " + mode);
}

constexpr double kMiB = 1 << 20;

}  // namespace

const std::vector<Setting>& lra_settings() {
  static const std::vector<Setting> kSettings = {{"listops", 2000, 4, 0.1},
                                                 {"text", 4000, 32, 0.1},
                                                 {"retrieval", 4000, 64, 0.1},
                                                 {"image", 1024, 8, 25},
                                                 {"pathfinder", 1024, 64, 0.1}};
  return kSettings;
}

Json bench_attention(const Request& request) {
  Json report = header(request);
  report["rows"] = Json::array();
  for (const Setting& setting : request.settings) {
    for (Json& row : measure_setting(request, setting)) report["rows"].push_back(std::move(row));
  }
  add_ratios(report["rows"], "ratio_to_softmax",
             [](const Json& row) { return row["attention"] == "softmax"; });
  add_ratios(report["rows"], "ratio_to_reference",
             [](const Json& row) { return row["attention"] == "lotformer" && row["mode"] == "reference"; });
  return report;
}

std::string attention_table(const Json& report) {
  std::string text =
      "| task | n | attention | forward, ms | forward+backward, ms | ratio to softmax | ratio to lotformer "
      "reference | "
      "extra memory, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const Json& row : report["rows"]) {
    text += concat("| ", row["task"].get<std::string>(), " | ", row["n"], " | ", name_of(row), " | ",
                   format_fixed(row["forward_us"].get<double>() / 1000, 1), " | ",
                   format_fixed(row["median_us"].get<double>() / 1000, 1), " | ",
                   ratio_text(row["ratio_to_softmax"]), " | ", ratio_text(row["ratio_to_reference"]), " | ",
                   format_fixed(row["peak_bytes"].get<double>() / kMiB, 1), " |\n");
  }
  return text;
}

Json bench_memory(const Request& request, const std::vector<int64_t>& lengths) {
  Json report = header(request);
  report["rows"] = Json::array();
  for (const Candidate& candidate : request.candidates) {
    Json row = {{"attention", candidate.attention}, {"batch", request.batch}, {"n", lengths}};
    std::vector<double> bytes;
    for (const int64_t length : lengths) {
      Setting setting = request.settings.at(0);
      setting.tokens = length;
      Subject subject(request, setting, candidate);
      bytes.push_back(static_cast<double>(subject.peak_bytes()));
      row["mode"] = subject.mode();
      row["peak_bytes"].push_back(static_cast<int64_t>(bytes.back()));
    }
    const size_t last = bytes.size() - 1;
    if (last > 0 && bytes[last] > 0 && bytes[last - 1] > 0) {
      row["exponent"] = std::log(bytes[last] / bytes[last - 1]) /
                        std::log(static_cast<double>(lengths[last]) / static_cast<double>(lengths[last - 1]));
    } else {
      row["exponent"] = nullptr;
    }
    report["rows"].push_back(std::move(row));
  }
  return report;
}

std::string memory_table(const Json& report) {
  if (report["rows"].empty()) return "";
  std::string text = "| attention |", line = "| --- |";
  for (const Json& length : report["rows"][0]["n"]) {
    text += concat(" n = ", length, ", MiB |");
    line += " --- |";
  }
  text += " exponent |\n" + line + " --- |\n";
  for (const Json& row : report["rows"]) {
    text += concat("| ", name_of(row), " |");
    for (const Json& bytes : row["peak_bytes"])
      text += concat(" ", format_fixed(bytes.get<double>() / kMiB, 1), " |");
    text += concat(" ", ratio_text(row["exponent"]), " |\n");
  }
  return text;
}

}  // namespace lotformer::bench
