// SPDX-License-Identifier: MIT
// What every main() shares: one-line errors on stderr, the table of exit codes, the build's identity, where
// configs lie.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace lotformer {

/// Runs `body`, maps exceptions to exit codes and prints `NAME: error: MESSAGE` as one line on stderr.
/// Standard streams that were closed are opened first, so that no file of ours gets their numbers.
int run_program(const std::string& name, const std::function<int()>& body);

/// What run_program does for an exception, from another thread while the body goes on: the line on stderr and
/// the end of the process with the exit code. Destructors do not run.
[[noreturn]] void leave_program(const std::function<void()>& throws);

/// The same program with the same arguments and the present environment in the place of this one. Returns
/// where that cannot be done.
void restart_program();

/// "0.1.0+abc123" or "0.1.0+abc123-dirty".
const char* build_id();

/// Folder of the running executable (from /proc/self/exe).
std::filesystem::path executable_directory();

/// The `configs` folder: found from the executable's place (build tree: up to four folders above; installed:
/// ../share/lotformer/configs). Empty when there is none. Never a compiled-in path.
std::filesystem::path config_directory();

}  // namespace lotformer
