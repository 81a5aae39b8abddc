// SPDX-License-Identifier: MIT
// Logging to stderr. spdlog lives in log.cpp only: Debian's needs fmt 9 and does not compile beside torch
// headers.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lotformer::log {

enum class Level { debug, info, warning, error };

void set_level(Level level);
/// Whether messages of this level are written.
bool shows(Level level);
void debug(std::string_view message);
void info(std::string_view message);
void warning(std::string_view message);
void error(std::string_view message);

/// A second receiver of every message that passes the level (tests, run folder); empty removes it.
void set_observer(std::function<void(Level, std::string_view)> observer);

}  // namespace lotformer::log
