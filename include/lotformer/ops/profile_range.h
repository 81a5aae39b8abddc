// SPDX-License-Identifier: MIT
// Names a part of the work for a profiler (lotformer-train --profile). Without one it costs a look at a flag.
#pragma once

#include <ATen/record_function.h>

#include <cstdint>
#include <string>

namespace lotformer::ops {

/// From here to the end of the scope: NAME, or NAME and a number ("layer 0").
class ProfileRange {
 public:
  explicit ProfileRange(const char* name) {
    if (guard_.isActive()) guard_.before(name);
  }
  ProfileRange(const char* name, int64_t number) {
    if (!guard_.isActive()) return;
    std::string text(name);
    text += ' ';
    text += std::to_string(number);
    guard_.before(text);
  }

 private:
  at::RecordFunction guard_{at::RecordScope::USER_SCOPE};
};

}  // namespace lotformer::ops
