// SPDX-License-Identifier: MIT
#include "signals.h"

#include <csignal>

namespace lotformer {
namespace {

volatile std::sig_atomic_t received = 0;

void remember(int signal) {
  received = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void catch_stop_signals() {
  received = 0;
  std::signal(SIGINT, remember);
  std::signal(SIGTERM, remember);
}

int stop_signal() {
  return received;
}

}  // namespace lotformer
