// SPDX-License-Identifier: MIT
// The log of the reduced build, without spdlog.
#include <cstdio>

#include "lotformer/core/log.h"

namespace lotformer::log {
namespace {
void write(const char* level, std::string_view message) {
  std::fprintf(stderr, "%s %.*s\n", level, static_cast<int>(message.size()), message.data());
}
}  // namespace

void set_level(Level) {}
void debug(std::string_view) {}
void info(std::string_view message) {
  write("info", message);
}
void warning(std::string_view message) {
  write("warning", message);
}
void error(std::string_view message) {
  write("error", message);
}
void set_observer(std::function<void(Level, std::string_view)>) {}

}  // namespace lotformer::log
