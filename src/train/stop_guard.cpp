// SPDX-License-Identifier: MIT
#include "stop_guard.h"

#include <chrono>

#include "lotformer/core/stop_signals.h"

namespace lotformer {
namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr int kPatience = 20;  // looks: a second

}  // namespace

StopGuard::StopGuard(std::function<void()> leave) : leave_(std::move(leave)) {
  mutex_.lock();
  thread_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

StopGuard::~StopGuard() {
  thread_.request_stop();
  mutex_.unlock();
}

void StopGuard::watch(const std::stop_token& stop) {
  int seen = 0;
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(kLook);
    seen = StopSignals::received() != 0 ? seen + 1 : 0;
    if (seen < kPatience) continue;
    const std::lock_guard lock(mutex_);
    if (!stop.stop_requested()) leave_();
    return;
  }
}

}  // namespace lotformer
