// SPDX-License-Identifier: MIT
// libFuzzer's entry; compiled once for each target.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  lotformer::fuzz::LOTFORMER_FUZZ_TARGET({bytes, size});
  return 0;
}
