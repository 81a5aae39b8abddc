// SPDX-License-Identifier: MIT
// A trace of some steps through LibTorch's profiler (Kineto), for Perfetto (ui.perfetto.dev) or
// chrome://tracing, and a table of where the time went.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lotformer {

/// Steps first to last, both within, counted from 1 as in metrics.jsonl.
struct ProfileRequest {
  int64_t first = 0, last = 0;
};

/// "10..20" or "15". Error(usage) otherwise.
ProfileRequest parse_profile(const std::string& text);

class Profiler {
 public:
  /// The trace goes to `folder`/trace-steps-A-B.json.
  Profiler(ProfileRequest request, std::filesystem::path folder, bool with_cuda);
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;
  /// Before the step of that number.
  void begin_step(int64_t step);
  /// After it. At the last one the trace is written, and the table comes back.
  std::optional<std::string> end_step(int64_t step);

 private:
  std::string finish();
  ProfileRequest request_;
  std::filesystem::path folder_;
  bool with_cuda_, running_ = false;
};

}  // namespace lotformer
