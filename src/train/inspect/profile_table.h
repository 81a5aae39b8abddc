// SPDX-License-Identifier: MIT
#pragma once

#include <torch/csrc/autograd/profiler_kineto.h>

#include <cstdint>
#include <string>

namespace lotformer {

/// Where the time and the memory of the profiled steps went, as text: the named parts (layer, phase) with
/// time, calls, bytes allocated inside (whether or not they were given back there) and what was launched
/// inside in the same thread; then operators and kernels. `steps`: how many were profiled; every figure is a
/// step's.
std::string profile_table(const torch::autograd::profiler::ProfilerResult& result, int64_t steps);

}  // namespace lotformer
