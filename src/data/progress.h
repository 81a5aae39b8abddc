// SPDX-License-Identifier: MIT
// Progress of one long piece of work on stderr: silent below two seconds, then redrawn on a terminal, one
// plain line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lotformer::data {

class Progress {
 public:
  /// `unit` follows the counts ("rows"); "bytes" prints them as sizes. Without a total (0), or beyond it, no time left is named.
  Progress(std::string label, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Cheap; may be called for every row.
  void update(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  void print(int64_t done, double elapsed);
  void show(const std::string& text);
  std::string label_, unit_;
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_, next_;
};

}  // namespace lotformer::data
