// SPDX-License-Identifier: MIT
#include "lotformer/ops/cpu_memory.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace lotformer::ops {
namespace {

constexpr int64_t kMiB = 1 << 20;

at::Tensor bytes_of(int64_t count) {
  return at::empty({count}, at::kByte);
}

bool installed() {
  if (install_cpu_allocator()) return true;
  WARN("not tested: under AddressSanitizer the allocator stays out of the way");
  return false;
}

/// What the header promises of all blocks together.
void require_bounds() {
  const CpuMemory now = cpu_memory();
  REQUIRE(now.large <= now.large_peak);
  REQUIRE(now.large + now.kept <= now.large_peak + now.large_peak / 4);
}

TEST_CASE("cpu memory: counts live bytes and their peak, and serves freed blocks again") {
  if (!installed()) return;
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
  if (!installed()) return;
  for (int64_t step = 0; step < 300; ++step) {
    const int64_t tokens = 1500 + (step * 277) % 500;
    const at::Tensor a = bytes_of(tokens * 4096), b = bytes_of(tokens * 2048), c = bytes_of(tokens * 1024);
    const int64_t live = cpu_memory().in_use;
    REQUIRE(cpu_memory().kept <= 2 * live);
  }
  const at::Tensor last = bytes_of(14 * kMiB);
  CHECK(cpu_memory().kept <= 3 * 14 * kMiB);
}

TEST_CASE(
    "cpu memory: a block that is used again counts towards the peak, and the bound holds at every moment") {
  if (!installed()) return;
  std::vector<at::Tensor> held;
  while (cpu_memory().large < cpu_memory().large_peak || held.size() < 16) held.push_back(bytes_of(8 * kMiB));
  const int64_t top = cpu_memory().large_peak;
  REQUIRE(cpu_memory().large == top);
  held.pop_back();
  const at::Tensor other = bytes_of(15 * kMiB);  // of another class
  const int64_t with_other = cpu_memory().large;
  const at::Tensor again = bytes_of(8 * kMiB);
  CHECK(cpu_memory().large > with_other);
  CHECK(cpu_memory().large_peak == cpu_memory().large);
  require_bounds();
  held.clear();
  require_bounds();
  for (int64_t mib = 2; mib < 100; mib = mib * 5 / 4 + 1) {  // classes that nothing kept fits
    const at::Tensor next = bytes_of(mib * kMiB);
    require_bounds();
    held.push_back(bytes_of(mib * kMiB / 2));
    require_bounds();
    if (held.size() % 3 == 0) held.clear();
    require_bounds();
  }
}

TEST_CASE("cpu memory: a block is at most 69 percent larger than its tensor") {
  if (!installed()) return;
  for (int64_t bytes = kMiB; bytes < 64 * kMiB; bytes += bytes / 29) {
    const int64_t before = cpu_memory().large;
    const at::Tensor first = bytes_of(bytes);
    CHECK(cpu_memory().large - before <= 169 * bytes / 100);
  }
}

TEST_CASE("cpu memory: freed on another thread") {
  if (!installed()) return;
  const CpuMemory before = cpu_memory();
  at::Tensor large = bytes_of(9 * kMiB), small = bytes_of(1000);
  const void* place = large.data_ptr();
  std::thread([mine = std::move(large), also = std::move(small)]() mutable {
    mine.fill_(1);
    mine.reset();
    also.reset();
  }).join();
  CHECK(cpu_memory().in_use == before.in_use);
  CHECK(cpu_memory().large == before.large);
  CHECK(bytes_of(9 * kMiB).data_ptr() == place);  // and it serves this thread again
  require_bounds();
}

TEST_CASE("cpu memory: threads get blocks of their own") {
  if (!installed()) return;
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
  if (!installed()) return;
  CHECK_THROWS_AS(bytes_of(int64_t{1} << 50), c10::OutOfMemoryError);
  CHECK(bytes_of(kMiB).numel() == kMiB);
}

}  // namespace
}  // namespace lotformer::ops
