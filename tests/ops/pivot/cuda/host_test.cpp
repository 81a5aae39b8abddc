// SPDX-License-Identifier: MIT
// Links the host interface with the compiled kernels, for every target they were compiled for, and asks it
// what needs no GPU.
#include <cstdio>
#include <string>

#include "ops/pivot/cuda/core.h"

using namespace lotformer::ops::pivot::cuda;

namespace {

int failures = 0;

void check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
}

Problem retrieval() {
  Problem p;
  p.batch = 16;
  p.heads = 2;
  p.tokens = 4096;
  p.pivots = 64;
  p.head_dim = 32;
  p.bf16 = true;
  return p;
}

}  // namespace

int main() {
  Device device;
  const std::string error = query_device(0, device);
  std::printf("GPU 0: %s\n", error.empty()
                                 ? (std::to_string(device.shared_bytes) + " bytes of shared memory").c_str()
                                 : error.c_str());
  if (error.empty())
    check(device.max_cluster >= 1 && device.shared_bytes >= 48 << 10, "what the device says");

  const Device large{8, 227 << 10}, small{1, 99 << 10};
  Problem p = retrieval();
  check(refusal(p, large).empty(), refusal(p, large));
  check(make_plan(p, large).resident == 1 && make_plan(p, large).cluster == 8,
        "retrieval is resident in a cluster of 8");
  check(refusal(p, small).empty() && make_plan(p, small).resident == -1, "without clusters it is streamed");
  p.pivots = 129;
  check(!refusal(p, large).empty(), "129 pivots are refused");
  return failures != 0;
}
