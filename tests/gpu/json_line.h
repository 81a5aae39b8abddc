// SPDX-License-Identifier: MIT
// One JSON object a line on stdout, without a library: the reduced build has none.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

namespace lotformer::gpu {

class JsonLine {
 public:
  explicit JsonLine(const std::string& kind) { text("kind", kind); }
  JsonLine& text(const char* name, const std::string& value) { return raw(name, '"' + escaped(value) + '"'); }
  JsonLine& integer(const char* name, int64_t value) { return raw(name, std::to_string(value)); }
  JsonLine& boolean(const char* name, bool value) { return raw(name, value ? "true" : "false"); }
  /// What is no finite number becomes null.
  JsonLine& number(const char* name, double value) {
    std::ostringstream out;
    out.precision(6);
    out << value;
    return raw(name, std::isfinite(value) ? out.str() : "null");
  }
  void print() const {
    std::printf("{%s}\n", body_.c_str());
    std::fflush(stdout);
  }

 private:
  JsonLine& raw(const char* name, const std::string& value) {
    if (!body_.empty()) body_ += ", ";
    body_ += '"' + std::string(name) + "\": " + value;
    return *this;
  }
  static std::string escaped(const std::string& value) {
    std::string result;
    for (const char c : value) {
      if (c == '"' || c == '\\') result += '\\';
      result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return result;
  }
  std::string body_;
};

}  // namespace lotformer::gpu
