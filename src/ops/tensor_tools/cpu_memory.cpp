// SPDX-License-Identifier: MIT
#include "lotformer/ops/cpu_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define LOTFORMER_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOTFORMER_ADDRESS_SANITIZER 1
#endif
#endif

namespace lotformer::ops {
namespace {

constexpr size_t kAlignment = 64;           // of every block: a cache line, and what torch promises
constexpr size_t kLarge = size_t{1} << 20;  // from here on blocks are kept
constexpr size_t kHugePage = size_t{2} << 20;

/// Stands before every block.
struct alignas(kAlignment) Header {
  size_t asked;   // bytes the caller asked for
  size_t mapped;  // bytes of the mapping, header included; 0: from the C library
};
static_assert(sizeof(Header) == kAlignment);

/// Rounds up to one of eight steps between powers of two: lengths that differ a little share a class.
size_t size_class(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

/// As torch's own allocator: where a profiler listens in this thread it hears of every block.
void tell_profiler(void* block, int64_t bytes, int64_t in_use) {
  if (!c10::memoryProfilingEnabled()) return;
  c10::reportMemoryUsageToProfiler(block, bytes, static_cast<size_t>(std::max<int64_t>(in_use, 0)), 0,
                                   c10::Device(c10::DeviceType::CPU));
}

class KeepingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release, cpu};
    Header* header = bytes < kLarge ? small(bytes) : large(bytes);
    header->asked = bytes;
    const int64_t now = in_use_.fetch_add(static_cast<int64_t>(bytes)) + static_cast<int64_t>(bytes);
    for (int64_t seen = peak_; now > seen && !peak_.compare_exchange_weak(seen, now);) {
    }
    tell_profiler(header + 1, static_cast<int64_t>(bytes), now);
    return {header + 1, header + 1, &release, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    std::memcpy(target, source, bytes);
  }

  CpuMemory statistics() {
    const std::lock_guard lock(mutex_);
    return {in_use_, peak_, static_cast<int64_t>(live_bytes_), static_cast<int64_t>(live_peak_),
            static_cast<int64_t>(kept_bytes_)};
  }
  void reset_peak() { peak_ = in_use_.load(); }

 private:
  static void release(void* pointer);

  static Header* small(size_t bytes) {
    void* block = nullptr;
    const int code = ::posix_memalign(&block, kAlignment, bytes + sizeof(Header));
    TORCH_CHECK_WITH(OutOfMemoryError, code == 0, "can't allocate memory: ", bytes, " bytes on the CPU");
    auto* header = static_cast<Header*>(block);
    header->mapped = 0;
    return header;
  }

  Header* large(size_t bytes) {
    const size_t wanted = size_class(bytes + sizeof(Header));
    const std::lock_guard lock(mutex_);
    // Up to half as large again: batches of other lengths then find a block, and the system need not clear
    // new pages.
    if (const auto it = kept_.lower_bound(wanted); it != kept_.end() && it->first <= wanted + wanted / 2) {
      Header* header = it->second;
      kept_bytes_ -= it->first;
      kept_.erase(it);
      count_live(header->mapped);
      return header;
    }
    trim(wanted);
    void* block = map(wanted);
    if (block == MAP_FAILED) {  // what is kept may be what is missing
      drop_kept(0);
      block = map(wanted);
    }
    TORCH_CHECK_WITH(OutOfMemoryError, block != MAP_FAILED, "can't allocate memory: ", bytes,
                     " bytes on the CPU");
    auto* header = static_cast<Header*>(block);
    header->mapped = wanted;
    count_live(wanted);
    return header;
  }

  void count_live(size_t bytes) {
    live_bytes_ += bytes;
    live_peak_ = std::max(live_peak_, live_bytes_);
  }

  static void* map(size_t bytes) {
    void* block = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block != MAP_FAILED && bytes >= 2 * kHugePage) ::madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }

  /// Called by destructors of tensors: must not throw. Without memory for the note the block is not kept.
  void keep(Header* header) noexcept {
    const std::lock_guard lock(mutex_);
    const size_t bytes = header->mapped;
    live_bytes_ -= bytes;
    try {
      kept_.emplace(bytes, header);
      kept_bytes_ += bytes;
    } catch (const std::bad_alloc&) {
      ::munmap(header, bytes);
    }
    trim(0);
  }

  /// Holds the bound on all blocks when `more` bytes are about to become live. A quarter above the peak is
  /// let stand, so that blocks are not given back and mapped again at every call. Under the lock.
  void trim(size_t more) {
    const size_t live = live_bytes_ + more, peak = std::max(live_peak_, live);
    if (live + kept_bytes_ > peak + peak / 4) drop_kept(peak - live);
  }

  /// Gives blocks back to the system, smallest first, until at most `limit` bytes are kept. Under the lock.
  void drop_kept(size_t limit) {
    while (kept_bytes_ > limit && !kept_.empty()) {
      const auto it = kept_.begin();
      kept_bytes_ -= it->first;
      ::munmap(it->second, it->first);
      kept_.erase(it);
    }
  }

  std::mutex mutex_;
  std::multimap<size_t, Header*> kept_;
  size_t kept_bytes_ = 0, live_bytes_ = 0, live_peak_ = 0;
  std::atomic<int64_t> in_use_ = 0, peak_ = 0;
};

/// Never destroyed: tensors with static lifetime are freed after main.
KeepingAllocator& allocator() {
  static auto* const kAllocator = new KeepingAllocator;
  return *kAllocator;
}

void KeepingAllocator::release(void* pointer) {
  if (pointer == nullptr) return;
  Header* header = static_cast<Header*>(pointer) - 1;
  KeepingAllocator& owner = allocator();
  const auto asked = static_cast<int64_t>(header->asked);
  tell_profiler(pointer, -asked, owner.in_use_ -= asked);
  if (header->mapped == 0) {
    std::free(header);
  } else {
    owner.keep(header);
  }
}

}  // namespace

bool install_cpu_allocator() {
#ifdef LOTFORMER_ADDRESS_SANITIZER
  return false;
#else
  c10::SetCPUAllocator(&allocator(), /*priority=*/100);
  return true;
#endif
}

CpuMemory cpu_memory() {
  return allocator().statistics();
}

void reset_cpu_memory_peak() {
  allocator().reset_peak();
}

}  // namespace lotformer::ops
