// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>

namespace lotformer::ops {

/// task(0) ... task(count - 1) on torch's CPU threads, each thread taking the next task that is left;
/// operators inside a task run on its thread alone. What a task writes must be its own. With fewer tasks than
/// threads, one task after the other, whose operators use all threads. Gradients are not recorded inside. An
/// exception of a task leaves this function.
///
/// Why not at::parallel_for: it lives in a header and is a plain loop in a program compiled without OpenMP.
void parallel_tasks(int64_t count, const std::function<void(int64_t)>& task);

}  // namespace lotformer::ops
