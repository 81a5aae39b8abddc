// SPDX-License-Identifier: MIT
// The one thing that core.cpp asks of a back end: launch.cpp, or the emulator of the tests.
#pragma once

#include <cstddef>
#include <string>

#include "kernel_set.h"

namespace lotformer::ops::pivot::cuda {

/// Returns an empty text, or what went wrong.
std::string launch(Kernel kernel, int64_t grid, int cluster, int threads, std::size_t shared_bytes,
                   const PivotArgs& args, void* stream);

}  // namespace lotformer::ops::pivot::cuda
