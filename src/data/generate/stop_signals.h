// SPDX-License-Identifier: MIT
// A generator that is told to stop takes back what it has begun.
#pragma once

#include <csignal>

namespace lotformer::data {

/// While one lives, SIGINT and SIGTERM raise a flag where they would have ended the process. A second signal ends it at once. Signals that
/// are ignored, or that somebody handles already, are left alone.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Error(interrupted) when a signal has come. For the loops of the generators, from any thread.
  static void check();

 private:
  using Action = struct sigaction;
  Action interrupt_{}, terminate_{};  // what was there before
};

}  // namespace lotformer::data
