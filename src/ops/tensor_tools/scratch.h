// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <cstddef>
#include <vector>

namespace lotformer::ops {

/// Standard allocator on top of torch's, so that scratch arrays are seen by whoever measures torch's memory.
template <class T>
struct TorchAllocator {
  using value_type = T;
  TorchAllocator() = default;
  template <class U>
  TorchAllocator(const TorchAllocator<U>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(c10::GetCPUAllocator()->raw_allocate(count * sizeof(T)));
  }
  void deallocate(T* data, std::size_t) { c10::GetCPUAllocator()->raw_deallocate(data); }
  bool operator==(const TorchAllocator&) const { return true; }
};

template <class T>
using Scratch = std::vector<T, TorchAllocator<T>>;

}  // namespace lotformer::ops
