// SPDX-License-Identifier: MIT
#include "data/generate/stop_signals.h"

#include <atomic>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler writes it");

void remember(int signal) {
  received = signal;
}

void take_over(int signal, struct sigaction& before) {
  ::sigaction(signal, nullptr, &before);
  if (before.sa_handler != SIG_DFL) return;
  struct sigaction ours {};
  ours.sa_handler = remember;
  ours.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second signal finds the default action
  ::sigaction(signal, &ours, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  received = 0;
  take_over(SIGINT, interrupt_);
  take_over(SIGTERM, terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &interrupt_, nullptr);
  ::sigaction(SIGTERM, &terminate_, nullptr);
}

void StopSignals::check() {
  const int signal = received.load(std::memory_order_relaxed);
  if (signal == 0) return;
  throw Error(ErrorKind::interrupted,
              concat("stopped by signal ", signal,
                     " while data were made; what was begun is removed, the same command starts anew"));
}

}  // namespace lotformer::data
