// SPDX-License-Identifier: MIT
#include "lotformer/core/stop_signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>

#include "lotformer/core/error.h"

namespace lotformer {
namespace {

std::atomic<int> arrived{0};
std::atomic<StopSignals::Then> now{StopSignals::Then::raise_flag};
std::atomic<const char*> last_words{""};
int depth = 0;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<StopSignals::Then>::is_always_lock_free &&
                  std::atomic<const char*>::is_always_lock_free,
              "a signal handler uses them");

/// write(2) alone is allowed in a handler; what cannot be written is lost.
void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

void act(int signal) {
  if (now == StopSignals::Then::raise_flag) {
    arrived = signal;
    return;
  }
  const char number[] = {static_cast<char>('0' + signal / 10), static_cast<char>('0' + signal % 10), '\0'};
  say(program_invocation_short_name);
  say(": error: stopped by signal ");
  say(signal < 10 ? number + 1 : number);
  say("; ");
  say(last_words);
  say("\n");
  ::_exit(static_cast<int>(ErrorKind::interrupted));
}

void take_over(int signal, StopSignals::Ignored ignored, struct sigaction& before) {
  ::sigaction(signal, nullptr, &before);
  const bool take_ignored = ignored == StopSignals::Ignored::take && (signal == SIGINT || signal == SIGTERM);
  const bool ours_to_take = before.sa_handler == SIG_DFL || before.sa_handler == act ||
                            (before.sa_handler == SIG_IGN && take_ignored);
  if (!ours_to_take) return;
  struct sigaction ours {};
  ours.sa_handler = act;
  ours.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second signal finds the default action
  ::sigaction(signal, &ours, nullptr);
}

}  // namespace

StopSignals::StopSignals(Ignored ignored, Then then, const char* message)
    : then_(now), message_(last_words), nested_(depth++ > 0) {
  arrived = 0;
  last_words = message;
  now = then;
  for (size_t i = 0; i < kSignals.size(); ++i) take_over(kSignals[i], ignored, actions_[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &actions_[i], nullptr);
  last_words = message_;
  now = then_;
  --depth;
  // An exception on its way is the answer to the signal.
  if (const int signal = arrived; nested_ && signal != 0 && std::uncaught_exceptions() == 0) ::raise(signal);
}

int StopSignals::received() {
  return arrived.load(std::memory_order_relaxed);
}

}  // namespace lotformer
