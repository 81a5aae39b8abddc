// SPDX-License-Identifier: MIT
// How far one long piece of work is, on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "lotformer/core/status_line.h"

namespace lotformer {

/// Silent below two seconds, so that short work says nothing; then a StatusLine with counts, share and time
/// left.
class Progress {
 public:
  /// `unit` follows the counts ("rows"); "bytes" prints them as sizes. Without a total (0), or beyond it, no
  /// time left is named.
  Progress(std::string label, int64_t total, std::string unit);
  /// Cheap; may be called for every row.
  void update(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  std::string text(int64_t done, double elapsed) const;
  std::string label_, unit_;
  int64_t total_;
  StatusLine line_{StatusLine::Ending::erase};
  Clock::time_point start_ = Clock::now();
};

}  // namespace lotformer
