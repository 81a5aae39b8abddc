// SPDX-License-Identifier: MIT
#include "train/stop_guard.h"

#include <atomic>
#include <chrono>
#include <csignal>

#include "lotformer/core/stop_signals.h"
#include "support/catch.h"

namespace lotformer {
namespace {

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST_CASE("the guard acts while the loop computes, a second after the signal, and at no other time") {
  const StopSignals stop(StopSignals::Ignored::take);
  std::atomic<int> left{0};
  std::atomic<bool> open{false}, was_open{false};
  {
    StopGuard guard([&] {
      was_open = open.load();
      ++left;
    });
    {
      const StopGuard::Open computing(guard);
      sleep_ms(150);
    }
    std::raise(SIGUSR1);
    sleep_ms(1500);  // the loop changes its state: not now
    CHECK(left == 0);
    open = true;
    {
      const StopGuard::Open computing(guard);
      for (int i = 0; i < 100 && left == 0; ++i) sleep_ms(20);
    }
  }
  CHECK(left == 1);
  CHECK(was_open);
}

TEST_CASE("a loop that answers is left alone") {
  const StopSignals stop(StopSignals::Ignored::take);
  std::atomic<int> left{0};
  {
    StopGuard guard([&] { ++left; });
    std::raise(SIGUSR1);
    sleep_ms(1300);  // the guard waits for the next Open, which does not come
  }
  CHECK(left == 0);
}

}  // namespace
}  // namespace lotformer
