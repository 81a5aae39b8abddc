// SPDX-License-Identifier: MIT
// The line a person watches: redrawn on a terminal, one plain line every few seconds elsewhere. Goes to
// stderr.
#pragma once

#include <chrono>
#include <string>

namespace lotformer {

class Progress {
 public:
  Progress();
  ~Progress();
  /// Shows `text` now on a terminal, elsewhere when the last plain line is old enough. `force`: always.
  void show(const std::string& text, bool force = false);
  /// Ends a line that is being redrawn, so that log lines start on their own.
  void finish();

 private:
  bool terminal_;
  bool open_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace lotformer
