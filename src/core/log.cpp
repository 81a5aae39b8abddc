// SPDX-License-Identifier: MIT
#include "lotformer/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <utility>

namespace lotformer::log {
namespace {

struct State {
  std::shared_ptr<spdlog::logger> logger;
  std::function<void(Level, std::string_view)> observer;
  std::mutex mutex;
  State() {
    logger = std::make_shared<spdlog::logger>("lotformer",
                                              std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    logger->set_pattern("%H:%M:%S %^%l%$ %v");
    logger->flush_on(spdlog::level::debug);
  }
};

State& state() {
  static State instance;
  return instance;
}

spdlog::level::level_enum convert(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void write(Level level, std::string_view message) {
  State& s = state();
  if (!s.logger->should_log(convert(level))) return;
  s.logger->log(convert(level), "{}", message);
  const std::lock_guard<std::mutex> lock(s.mutex);
  if (s.observer) s.observer(level, message);
}

}  // namespace

void set_level(Level level) {
  state().logger->set_level(convert(level));
}
bool shows(Level level) {
  return state().logger->should_log(convert(level));
}
void debug(std::string_view message) {
  write(Level::debug, message);
}
void info(std::string_view message) {
  write(Level::info, message);
}
void warning(std::string_view message) {
  write(Level::warning, message);
}
void error(std::string_view message) {
  write(Level::error, message);
}

void set_observer(std::function<void(Level, std::string_view)> observer) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  state().observer = std::move(observer);
}

}  // namespace lotformer::log
