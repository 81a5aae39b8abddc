// SPDX-License-Identifier: MIT
// Pieces of work on all cores, where the result of a piece depends on its number alone.
#pragma once

#include <cstdint>
#include <functional>

namespace lotformer::data {

/// Error(interrupted) when a signal has come (core/stop_signals.h). For the loops of the generators, from any
/// thread.
void stop_if_asked();

/// Calls `work(i)` once for each i in [0, count), in any order, from as many threads as the machine has cores
/// (or OMP_NUM_THREADS says). The first exception stops the others at their next piece and is rethrown.
void for_each_in_parallel(int64_t count, const std::function<void(int64_t)>& work);

}  // namespace lotformer::data
