// SPDX-License-Identifier: MIT
#include "lotformer/core/stop_signals.h"

#include <atomic>

namespace lotformer {
namespace {

std::atomic<int> arrived{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler writes it");

void remember(int signal) {
  arrived = signal;
}

void take_over(int signal, StopSignals::Ignored ignored, struct sigaction& before) {
  ::sigaction(signal, nullptr, &before);
  const bool ours_to_take =
      before.sa_handler == SIG_DFL || (before.sa_handler == SIG_IGN && ignored == StopSignals::Ignored::take);
  if (!ours_to_take) return;
  struct sigaction ours {};
  ours.sa_handler = remember;
  ours.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second signal finds the default action
  ::sigaction(signal, &ours, nullptr);
}

}  // namespace

StopSignals::StopSignals(Ignored ignored) {
  arrived = 0;
  take_over(SIGINT, ignored, interrupt_);
  take_over(SIGTERM, ignored, terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &interrupt_, nullptr);
  ::sigaction(SIGTERM, &terminate_, nullptr);
}

int StopSignals::received() {
  return arrived.load(std::memory_order_relaxed);
}

}  // namespace lotformer
