// SPDX-License-Identifier: MIT
// What the program of scripts/gpu_session.sh can do. Each command prints JSON lines; the checks return
// whether all passed.
#pragma once

#include <c10/core/Device.h>

#include "call.h"
#include "ops/pivot/cuda/core.h"

namespace lotformer::gpu {

struct Setting {
  c10::Device device;
  /// What the plan depends on.
  ops::pivot::cuda::Device part;
  /// CPU tensors, emulated kernels: tiny shapes only.
  bool emulated = false;
  bool quick = false;
};

/// Every row of the dispatch table, resident in one CTA and in a cluster, and streamed, against float64;
/// equal bits run to run; results that do not depend on the batch.
bool check_results(const Setting& setting);

/// One small call of every row and mode, for compute-sanitizer.
void run_smallest(const Setting& setting);

// The commands below need a GPU.

/// A captured call leaves the bits of one that is launched; kernel nodes of the captured operators.
bool check_capture(const Setting& setting);
/// Copy bandwidth and float32 matrix product.
void measure_ceilings(const Setting& setting);
/// Times at the shapes of the tasks.
void measure_attention(const Setting& setting);
/// What measure_attention times of a task in mode exact and bf16.
Call task_call(const Setting& setting, const std::string& task);
/// Durations of each kernel of a task's call, forward and backward, as the profiler of torch sees them.
void profile_task(const Setting& setting, const std::string& task);

}  // namespace lotformer::gpu
