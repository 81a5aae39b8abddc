// SPDX-License-Identifier: MIT
// Counts what torch is asked to do.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lotformer {

struct OperatorCounts {
  /// By name, those that call no other operator, make no view and do more than to get memory. A list operator
  /// (_foreach_...) counts once, as it is one launch or a few on a GPU, and so does one of ours.
  std::map<std::string, int64_t> calls;
  /// Values of tensors that the host asked for.
  int64_t host_reads = 0;
  /// Of the tensors that these operators read and wrote.
  int64_t bytes = 0;

  int64_t total() const;
};

/// Counts from construction until finish() or destruction, in all threads. One at a time.
class OperatorCounter {
 public:
  OperatorCounter();
  ~OperatorCounter();
  OperatorCounter(const OperatorCounter&) = delete;
  OperatorCounter& operator=(const OperatorCounter&) = delete;
  OperatorCounts finish();

 private:
  uint64_t handle_ = 0;
};

}  // namespace lotformer
