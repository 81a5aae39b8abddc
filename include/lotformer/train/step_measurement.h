// SPDX-License-Identifier: MIT
// A whole training step: what it launches, moves and reads back, and how long it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lotformer/config/load.h"

namespace lotformer {

struct StepRequest {
  ConfigRequest config;
  /// model.attention.kind of the rows; empty: that of the configuration.
  std::vector<std::string> kinds;
  /// In each of which every kind does every batch; the median is taken.
  int64_t rounds = 5;
  /// Different batches, the first ones of the training.
  int64_t batches = 2;
  std::string device = "auto";
};

/// One training step of each kind, in one process, rounds interleaved, on the configuration's data. Beside
/// where it was measured, `rows`:
///   attention, parameters, precision, batch, tokens (real ones of a step, mean),
///   operators (of torch and of ours, in one step, that are no views and call no other: on a GPU about as
///   many kernels are launched), operator_counts (by name), host_reads (values of tensors that the host asked
///   for), bytes (of the tensors that these operators read and wrote), median_us, graph_us (the same steps
///   played back from recordings, as `train.graph` says; null where it says that there are none), recordings,
///   peak_memory_bytes (of the process or the device so far).
/// Errors as of launch_training.
Json measure_step(const StepRequest& request);

}  // namespace lotformer
