// SPDX-License-Identifier: MIT
// Batches that a run goes without after it has rolled back (train.on_nonfinite).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer {

/// Intervals of the sampler's batches that no step trains on. The order of the others stays, so which batch a
/// step has is still a pure function: of the step and of these intervals.
class SkippedBatches {
 public:
  /// Batches `first` ... `end` - 1 (0-based, of the sampler). May touch or cover what is skipped already.
  void skip(int64_t first, int64_t end);
  /// The batch of training step `step` (0-based).
  int64_t batch_of(int64_t step) const;
  bool empty() const { return intervals_.empty(); }
  /// [[first, end], ...], ascending.
  Json state() const;
  /// Error(checkpoint) beginning with `where`.
  static SkippedBatches from_state(const Json& state, const std::string& where);

 private:
  struct Interval {
    int64_t first, end;
  };
  std::vector<Interval> intervals_;  // ascending, not touching
};

}  // namespace lotformer
