// SPDX-License-Identifier: MIT
// SIGINT and SIGTERM as a question that a loop asks, so that it can save, or take back, what it has begun.
#pragma once

#include <csignal>

namespace lotformer {

/// While one lives, SIGINT and SIGTERM raise a flag where they would have ended the process. A second signal
/// ends it at once. Signals that somebody handles already are left alone. One at a time in a process.
class StopSignals {
 public:
  /// What about a signal that the process was told to ignore? Shells make background jobs ignore SIGINT.
  enum class Ignored {
    leave,  // it stays ignored
    take,   // it raises the flag as well: stopping costs nothing, the work is saved
  };
  explicit StopSignals(Ignored ignored);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Number of the signal that arrived since the latest StopSignals began, or 0. From any thread.
  static int received();

 private:
  using Action = struct sigaction;
  // What was there before.
  Action interrupt_{}, terminate_{};
};

}  // namespace lotformer
