// SPDX-License-Identifier: MIT
#include "lotformer/ops/cpu_memory.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.h"

#ifndef __SANITIZE_ADDRESS__
namespace lotformer::ops {
namespace {

constexpr int64_t kMiB = 1 << 20;

at::Tensor bytes_of(int64_t count) {
  return at::empty({count}, at::kByte);
}

TEST_CASE("cpu memory: counts live bytes and their peak, and serves freed blocks again") {
  install_cpu_allocator();
  const int64_t before = cpu_memory().in_use;
  reset_cpu_memory_peak();
  const void* place = nullptr;
  {
    const at::Tensor a = bytes_of(8 * kMiB), b = bytes_of(100);
    CHECK(cpu_memory().in_use - before == 8 * kMiB + 100);
    for (const at::Tensor& t : {a, b}) CHECK(reinterpret_cast<uintptr_t>(t.data_ptr()) % 64 == 0);
    place = a.data_ptr();
  }
  CHECK(cpu_memory().in_use == before);
  CHECK(cpu_memory().peak - before == 8 * kMiB + 100);
  CHECK(cpu_memory().kept >= 8 * kMiB);
  CHECK(bytes_of(8 * kMiB - 4096).data_ptr() == place);  // the same class
  CHECK(bytes_of(0).numel() == 0);
}

TEST_CASE("cpu memory: ever new sizes do not make it grow") {
  install_cpu_allocator();
  for (int64_t step = 0; step < 300; ++step) {
    const int64_t tokens = 1500 + (step * 277) % 500;
    const at::Tensor a = bytes_of(tokens * 4096), b = bytes_of(tokens * 2048), c = bytes_of(tokens * 1024);
    const int64_t live = cpu_memory().in_use;
    REQUIRE(cpu_memory().kept <= 2 * live);
  }
  const at::Tensor last = bytes_of(14 * kMiB);
  CHECK(cpu_memory().kept <= 3 * 14 * kMiB);
}

TEST_CASE("cpu memory: threads get blocks of their own") {
  install_cpu_allocator();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([id, &wrong] {
      for (int64_t round = 0; round < 40; ++round) {
        at::Tensor mine = bytes_of(kMiB + round * 50000);
        mine.fill_(id);
        std::this_thread::yield();
        if (!mine.eq(id).all().item<bool>()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("cpu memory: what cannot be had is torch's out-of-memory error") {
  install_cpu_allocator();
  CHECK_THROWS_AS(bytes_of(int64_t{1} << 50), c10::OutOfMemoryError);
  CHECK(bytes_of(kMiB).numel() == kMiB);
}

}  // namespace
}  // namespace lotformer::ops
#endif
