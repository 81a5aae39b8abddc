// SPDX-License-Identifier: MIT
// A step of a slow module takes many seconds, and batch systems kill soon after they have asked. So a thread
// watches for the signal and saves in the place of the loop while that computes.
#pragma once

#include <functional>
#include <mutex>
#include <thread>

namespace lotformer {

class StopGuard {
 public:
  /// `leave` saves and ends the process; it is called from another thread, a second after a signal
  /// (StopSignals) that the loop has not answered by then, while the loop is inside an Open.
  explicit StopGuard(std::function<void()> leave);
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

  /// While one lives the loop computes and changes nothing that is saved.
  class Open {
   public:
    explicit Open(StopGuard& guard) : guard_(guard) { guard_.mutex_.unlock(); }
    ~Open() { guard_.mutex_.lock(); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    StopGuard& guard_;
  };

 private:
  void watch(const std::stop_token& stop);
  std::function<void()> leave_;
  std::mutex mutex_;  // the loop has it except in an Open
  std::jthread thread_;
};

}  // namespace lotformer
