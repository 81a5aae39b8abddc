// SPDX-License-Identifier: MIT
// What a pass over the batches of a split finds, over all processes that share it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "lotformer/train/world.h"

namespace lotformer {

/// Numbers stay on the device until they are gathered: one synchronisation, at the end. Losses are summed in
/// double, so that they do not depend on summation noise.
class ScoredBatches {
 public:
  /// logits [rows, classes] of a batch, labels int64 [rows].
  void add(const at::Tensor& logits, const at::Tensor& labels);

  struct All {
    /// Sum over the rows, added batch by batch in their order: the same bits however many processes there
    /// are.
    double loss = 0;
    /// int64 [rows] and float32 [rows, classes] on the CPU, in the order of batches.
    at::Tensor classes, logits;
  };
  /// Collective. Batch b of the pass was added by rank b % size as its batch number b / size.
  All gather(const World& world) const;

 private:
  std::vector<at::Tensor> losses_, classes_, logits_;  // a batch each
};

}  // namespace lotformer
