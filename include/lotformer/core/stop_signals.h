// SPDX-License-Identifier: MIT
// Signals that ask a process to stop: SIGINT and SIGTERM, SIGHUP of a closed terminal, SIGUSR1, SIGUSR2 and
// SIGXCPU of batch systems before they kill.
#pragma once

#include <array>
#include <csignal>

namespace lotformer {

/// While one lives, these signals do what `then` says where they would have ended the process without a word.
/// Signals that somebody else handles are left alone. They nest: the innermost rules, and a signal that it
/// was told of and nobody acted on is passed on to the one around it.
class StopSignals {
 public:
  /// What about a signal that the process was told to ignore? Shells make background jobs ignore SIGINT.
  enum class Ignored {
    leave,  // it stays ignored
    take,   // SIGINT and SIGTERM work as well: stopping costs nothing. The others stay ignored: `nohup`.
  };
  enum class Then {
    raise_flag,  // received() tells, so that a loop can save or take back what it has begun; a second signal
                 // ends the process at once
    leave,       // there is nothing to save: the process says so and ends with code 75
  };
  /// `message`, a literal, stands behind "stopped by signal N; " where the process leaves.
  explicit StopSignals(Ignored ignored, Then then = Then::raise_flag, const char* message = "");
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Number of the signal that arrived since the latest StopSignals began, or 0. From any thread.
  static int received();

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
  using Action = struct sigaction;
  // What was there before.
  std::array<Action, kSignals.size()> actions_{};
  Then then_;
  const char* message_;
  bool nested_;
};

}  // namespace lotformer
