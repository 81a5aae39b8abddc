// SPDX-License-Identifier: MIT
// Speed and memory of attention modules beside each other: interleaved rounds in one process, medians,
// ratios.
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
/// "4096x32": tokens and pivots at epsilon 0.1, called so. Error(usage) for anything else.
Setting parse_shape(const std::string& text);

/// A module and what its options are to be, each "key=value". Options that are not named have the module's
/// default; `pivots` and, beside it, `epsilon` have those of the setting.
struct Candidate {
  std::string attention;
  std::vector<std::string> options;
};
/// "softmax", "lotformer:reference" (a word without "=" is the mode), "espformer:inverse_temperature=0",
/// "lotformer:exact,pivots=64,tolerance=1e-5". Error(usage) that repeats `text` for an unknown module, option
/// or value.
Candidate parse_candidate(const std::string& text);

struct Request {
  std::vector<Setting> settings = lra_settings();
  std::vector<Candidate> candidates;
  int64_t batch = 2;
  int64_t heads = 2;
  int64_t head_dim = 32;
  int64_t rounds = 5;
  /// Of the LOTFormer scores q.z / sqrt(D): 0.02 at the published start, 1 to 3 when trained.
  double score_std = 1.0;
  /// Ragged: sequence b has N - (b + 1/2) / B * 3N/4 real tokens (5N/8 on average).
  bool padded = false;
  /// On attention weights, in [0, 1); softmax alone has it.
  double dropout = 0;
  c10::Device device = c10::Device(c10::kCPU);
  c10::ScalarType dtype = c10::kFloat;
};

/// Two rows for every setting and candidate, `pass` "forward" (no gradients recorded) and "forward+backward"
/// (gradients of q, k, v and parameters), modules in training mode:
///   attention, mode (null where the module has none), options (as given, without the mode), task, n, pivots
///   (null without), batch, median_us, peak_bytes (largest extra memory of the pass), working_bytes (of it
///   without the output and the gradients, which every module has to hold), residual (largest |c - sigma|_1
///   that the module's solver left; null where nothing is solved to a tolerance), ratio_to_softmax,
///   ratio_to_reference, ratio_to_default: median_us over that of softmax, of lotformer:reference (the
///   published iteration, T = 50, in plain ATen) and of the same module without options; same setting, pass
///   and run; null without such a row.
/// One warm-up round.
Json bench_attention(const Request& request);
/// The report as Markdown: where it was measured, then a line for every setting and candidate.
std::string attention_table(const Json& report);

/// Peak extra bytes of forward and backward of each candidate at every length, and `exponent`: the slope of
/// the least-squares line through log(bytes) over log(tokens); null for one length or where nothing was
/// allocated. The first setting gives pivots and epsilon. On a CPU: bytes of tensors; vectors inside an
/// operator are not seen (ESPFormer's Gauss transform has O(N + boxes) of them, for one slice a thread).
/// Error(usage) unless the lengths ascend.
Json bench_memory(const Request& request, const std::vector<int64_t>& lengths);
std::string memory_table(const Json& report);

}  // namespace lotformer::bench
