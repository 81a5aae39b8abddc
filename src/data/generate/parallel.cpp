// SPDX-License-Identifier: MIT
#include "data/generate/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/processors.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

int64_t thread_count() {
  constexpr int64_t kMost = 256;
  return std::min(usable_processors(), kMost);
}

}  // namespace

void stop_if_asked() {
  const int signal = StopSignals::received();
  if (signal == 0) return;
  throw Error(ErrorKind::interrupted,
              concat("stopped by signal ", signal,
                     " while data were made; what was begun is removed, the same command starts anew"));
}

void for_each_in_parallel(int64_t count, const std::function<void(int64_t)>& work) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        stop_if_asked();
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < std::min(count, thread_count()); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lotformer::data
