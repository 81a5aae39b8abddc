// SPDX-License-Identifier: MIT
// Speed and memory of attention modules beside each other: interleaved rounds in one process, medians, ratios.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer::bench {

/// One setting of the Long Range Arena as published for LOTFormer: tokens, rank and epsilon (2 heads of 32).
struct Setting {
  std::string task;
  int64_t tokens = 0;
  int64_t pivots = 0;
  double epsilon = 0.1;
};
const std::vector<Setting>& lra_settings();

/// A module in one of its modes; an empty mode is the default.
struct Candidate {
  std::string attention;
  std::string mode;
};
/// "softmax" or "lotformer:reference". Error(usage) for an unknown module or mode.
Candidate parse_candidate(const std::string& text);

struct Request {
  std::vector<Setting> settings = lra_settings();
  std::vector<Candidate> candidates;
  int64_t batch = 2;
  int64_t heads = 2;
  int64_t head_dim = 32;
  int64_t rounds = 5;
  double score_std =
      1.0;  ///< of the LOTFormer scores q.z / sqrt(D): 0.02 at the published start, 1 to 3 when trained
  c10::Device device = c10::Device(c10::kCPU);
  c10::ScalarType dtype = c10::kFloat;
};

/// One row for every setting and candidate: attention, mode, task, n, pivots, batch, forward_us, median_us (forward and backward),
/// ratio_to_softmax and ratio_to_reference (time of this row / time of that row of the same setting and run; null without one;
/// the reference is lotformer:reference), peak_bytes (largest extra memory of forward and backward). One warm-up round.
Json bench_attention(const Request& request);
/// The rows as a Markdown table.
std::string attention_table(const Json& report);

/// Peak extra bytes of forward and backward of each candidate at every length, and `exponent`: the slope of log(bytes) over
/// log(tokens) between the two longest. The first setting gives pivots and epsilon.
Json bench_memory(const Request& request, const std::vector<int64_t>& lengths);
std::string memory_table(const Json& report);

}  // namespace lotformer::bench
