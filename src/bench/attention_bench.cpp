// SPDX-License-Identifier: MIT
#include "lotformer/bench/attention_bench.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "candidate.h"
#include "lotformer/core/error.h"
#include "lotformer/core/median.h"
#include "lotformer/core/program.h"
#include "lotformer/core/status_line.h"
#include "lotformer/core/text.h"
#include "lotformer/train/device.h"
#include "lotformer/train/device_memory.h"

namespace lotformer::bench {
namespace {

constexpr int64_t kMostTokens = 1 << 24, kMostPivots = 4096;  // of --shapes

template <class Work>
double microseconds(c10::Device device, Work&& work) {
  if (device.is_cuda()) cuda_synchronize(device.index());
  const auto start = std::chrono::steady_clock::now();
  work();
  if (device.is_cuda()) cuda_synchronize(device.index());
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

/// Forward, then forward and backward.
struct Measured {
  std::array<std::vector<double>, 2> microseconds;
  std::array<int64_t, 2> peak_bytes{}, result_bytes{};
};
constexpr std::array<const char*, 2> kPasses = {"forward", "forward+backward"};

/// "espformer:masked,tau=1e-2", as it can be given.
std::string name_of(const Candidate& candidate) {
  return candidate.attention + (candidate.options.empty() ? "" : ":") + join(candidate.options, ",");
}

/// Says what is measured, because the table comes when all is done. Written between measurements: it costs
/// them nothing.
class Watch {
 public:
  explicit Watch(size_t units) : units_(units) {}
  void show(const std::string& setting, const std::string& module, const std::string& round) {
    const double share = static_cast<double>(done_++) / static_cast<double>(units_);
    line_.show({concat("measuring ", module), concat(setting, ", ", round),
                concat(static_cast<int>(100 * share), " % of the calls")},
               share, done_ == 1);
  }

 private:
  size_t units_, done_ = 0;
  StatusLine line_{StatusLine::Ending::erase};
};

/// Every candidate once a round, so that a slow minute of the machine falls on all of them.
std::vector<Measured> measure(const Request& request, const Setting& setting, std::vector<Subject>& subjects,
                              Watch& watch) {
  std::vector<Measured> measured(subjects.size());
  const auto show = [&](size_t i, const std::string& round) {
    watch.show(concat(setting.task, " (", setting.tokens, " tokens)"), name_of(request.candidates[i]), round);
  };
  for (size_t i = 0; i < subjects.size(); ++i) {
    show(i, "warm-up");
    for (size_t pass = 0; pass < kPasses.size(); ++pass) {
      measured[i].peak_bytes[pass] = subjects[i].peak_bytes(pass == 1);
      measured[i].result_bytes[pass] = subjects[i].result_bytes();
    }
  }
  for (int64_t round = 0; round < request.rounds; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      show(i, concat("round ", round + 1, " of ", request.rounds));
      auto& [forward, both] = measured[i].microseconds;
      forward.push_back(microseconds(request.device, [&] { subjects[i].forward(); }));
      both.push_back(microseconds(request.device, [&] { subjects[i].forward_backward(); }));
    }
  }
  return measured;
}

Json measure_setting(const Request& request, const Setting& setting, Watch& watch) {
  std::vector<Subject> subjects;
  for (const Candidate& candidate : request.candidates) subjects.emplace_back(request, setting, candidate);
  const std::vector<Measured> measured = measure(request, setting, subjects, watch);
  Json rows = Json::array();
  for (size_t i = 0; i < subjects.size(); ++i) {
    const Json residual = subjects[i].residual();
    for (size_t pass = 0; pass < kPasses.size(); ++pass) {
      Json row = subjects[i].description();
      row.update({{"task", setting.task},
                  {"n", setting.tokens},
                  {"batch", request.batch},
                  {"pass", kPasses[pass]},
                  {"median_us", median(measured[i].microseconds[pass])},
                  {"peak_bytes", measured[i].peak_bytes[pass]},
                  {"residual", residual},
                  // The control "none" hands out its input, so that nothing is left.
                  {"working_bytes",
                   std::max<int64_t>(0, measured[i].peak_bytes[pass] - measured[i].result_bytes[pass])}});
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

/// Adds `name`: time of each row over that of the row of the same task and pass that `is_base(base, row)`
/// picks.
template <class Pick>
void add_ratios(Json& rows, const char* name, const Pick& is_base) {
  for (Json& row : rows) {
    row[name] = nullptr;
    for (const Json& base : rows) {
      if (base["task"] == row["task"] && base["pass"] == row["pass"] && is_base(base, row))
        row[name] = row["median_us"].get<double>() / base["median_us"].get<double>();
    }
  }
}

Json header(const Request& request) {
  return {{"device", device_name(request.device)},
          {"threads", at::get_num_threads()},
          {"build_id", build_id()},
          {"dtype", std::string(c10::toString(request.dtype))},
          {"batch", request.batch},
          {"heads", request.heads},
          {"head_dim", request.head_dim},
          {"rounds", request.rounds},
          {"score_std", request.score_std},
          {"padded", request.padded},
          {"dropout", request.dropout}};
}

/// Slope of the least-squares line through (log x, log y); null where there is none.
Json fitted_exponent(const std::vector<int64_t>& x, const std::vector<int64_t>& y) {
  if (x.size() < 2 || *std::min_element(y.begin(), y.end()) <= 0) return nullptr;
  const auto count = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(static_cast<double>(x[i])) / count;
    mean_y += std::log(static_cast<double>(y[i])) / count;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log(static_cast<double>(x[i])) - mean_x;
    xx += dx * dx;
    xy += dx * (std::log(static_cast<double>(y[i])) - mean_y);
  }
  return xy / xx;
}

void require_ascending(const std::vector<int64_t>& lengths) {
  for (size_t i = 1; i < lengths.size(); ++i) {
    if (lengths[i] <= lengths[i - 1])
      throw Error(ErrorKind::usage, concat("--lengths must ascend, got ", lengths[i - 1], " ", lengths[i]));
  }
}

}  // namespace

const std::vector<Setting>& lra_settings() {
  static const std::vector<Setting> kSettings = {{"listops", 2000, 4, 0.1},
                                                 {"text", 4000, 32, 0.1},
                                                 {"retrieval", 4000, 64, 0.1},
                                                 {"image", 1024, 8, 25},
                                                 {"pathfinder", 1024, 64, 0.1}};
  return kSettings;
}

Setting parse_shape(const std::string& text) {
  Setting setting{text, 0, 0, 0.1};
  const char* end = text.data() + text.size();
  const auto tokens = std::from_chars(text.data(), end, setting.tokens);
  const bool crossed = tokens.ec == std::errc() && tokens.ptr != end && *tokens.ptr == 'x';
  const auto pivots = std::from_chars(crossed ? tokens.ptr + 1 : end, end, setting.pivots);
  const bool whole = pivots.ec == std::errc() && pivots.ptr == end;
  if (!whole || setting.tokens < 1 || setting.pivots < 1 || setting.tokens > kMostTokens ||
      setting.pivots > kMostPivots)
    throw Error(ErrorKind::usage, concat(quoted(text), ": expected TOKENSxPIVOTS, for instance 4096x32"));
  return setting;
}

Json bench_attention(const Request& request) {
  Json report = header(request);
  Json rows = Json::array();
  Watch watch(request.settings.size() * request.candidates.size() *
              (1 + static_cast<size_t>(request.rounds)));
  for (const Setting& setting : request.settings) {
    for (Json& row : measure_setting(request, setting, watch)) rows.push_back(std::move(row));
  }
  add_ratios(rows, "ratio_to_softmax",
             [](const Json& base, const Json&) { return base["attention"] == "softmax" && base["default"]; });
  add_ratios(rows, "ratio_to_reference", [](const Json& base, const Json&) {
    return base["attention"] == "lotformer" && base["mode"] == "reference" && base["options"] == "";
  });
  add_ratios(rows, "ratio_to_default", [](const Json& base, const Json& row) {
    return base["attention"] == row["attention"] && base["default"];
  });
  report["rows"] = std::move(rows);
  return report;
}

Json bench_memory(const Request& request, const std::vector<int64_t>& lengths) {
  require_ascending(lengths);
  Json report = header(request);
  report["rows"] = Json::array();
  Watch watch(request.candidates.size() * lengths.size());
  for (const Candidate& candidate : request.candidates) {
    Json row;
    std::vector<int64_t> bytes;
    for (const int64_t length : lengths) {
      Setting setting = request.settings.at(0);
      setting.tokens = length;
      watch.show(concat(length, " tokens"), name_of(candidate), "forward and backward");
      Subject subject(request, setting, candidate);
      bytes.push_back(subject.peak_bytes(true));
      row = subject.description();
    }
    row.update({{"batch", request.batch},
                {"n", lengths},
                {"peak_bytes", bytes},
                {"exponent", fitted_exponent(lengths, bytes)}});
    report["rows"].push_back(std::move(row));
  }
  return report;
}

}  // namespace lotformer::bench
