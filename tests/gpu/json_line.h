// SPDX-License-Identifier: MIT
// One JSON object a line on stdout.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "lotformer/core/json.h"

namespace lotformer::gpu {

class JsonLine {
 public:
  explicit JsonLine(const std::string& kind) { text("kind", kind); }
  JsonLine& text(const char* name, const std::string& value) { return set(name, value); }
  JsonLine& integer(const char* name, int64_t value) { return set(name, value); }
  JsonLine& boolean(const char* name, bool value) { return set(name, value); }
  /// What is no finite number becomes null.
  JsonLine& number(const char* name, double value) { return set(name, value); }
  void print() const {
    std::printf("%s\n", to_line(line_).c_str());
    std::fflush(stdout);
  }

 private:
  template <class T>
  JsonLine& set(const char* name, const T& value) {
    line_[name] = value;
    return *this;
  }
  Json line_;
};

}  // namespace lotformer::gpu
