// SPDX-License-Identifier: MIT
#include "parallel_tasks.h"

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <atomic>

namespace lotformer::ops {

void parallel_tasks(int64_t count, const std::function<void(int64_t)>& task) {
  const int64_t threads = at::get_num_threads();
  const c10::NoGradGuard no_grad;
  if (threads == 1 || count < threads) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  // The loop over the elements of a tensor is compiled into torch, with threads: one element a thread.
  const at::Tensor slots = at::empty({threads}, at::kByte);
  at::TensorIterator elements = at::TensorIterator::borrowing_nullary_op(slots);
  std::atomic<int64_t> next = 0;
  elements.for_each(
      [&](char**, const int64_t*, int64_t, int64_t) {
        const c10::NoGradGuard no_grad_here;  // a mode of the thread
        for (int64_t i = next++; i < count; i = next++) task(i);
      },
      /*grain_size=*/1);
}

}  // namespace lotformer::ops
