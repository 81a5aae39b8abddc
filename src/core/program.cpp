// SPDX-License-Identifier: MIT
#include "lotformer/core/program.h"

#include <csignal>
#include <exception>
#include <iostream>
#include <new>

#include "lotformer/core/error.h"
#include "lotformer_build_id.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

void complain(const std::string& name, const std::string& message) {
  std::cout.flush();
  std::cerr << name << ": error: " << message << std::endl;
}

}  // namespace

int run_program(const std::string& name, const std::function<int()>& body) {
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file-size limit then is a failed write with a message, not a killed process
  try {
    const int code = body();
    if (!std::cout.flush())
      throw Error(ErrorKind::disk, "standard output cannot be written (disk full, or closed?)");
    return code;
  } catch (const Error& error) {
    complain(name, error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    complain(name, "out of memory");
    return static_cast<int>(ErrorKind::memory);
  } catch (const std::exception& error) {
    complain(name, std::string("internal error: ") + error.what());
    return static_cast<int>(ErrorKind::internal);
  }
}

const char* build_id() {
  return LOTFORMER_BUILD_ID;
}

fs::path executable_directory() {
  std::error_code code;
  const fs::path self = fs::read_symlink("/proc/self/exe", code);
  return code ? fs::current_path() : self.parent_path();
}

fs::path config_directory() {
  const fs::path start = executable_directory();
  const fs::path installed = start.parent_path() / "share" / "lotformer" / "configs";
  if (fs::is_directory(installed)) return installed;
  fs::path folder = start;
  for (int up = 0; up < 5; ++up, folder = folder.parent_path()) {
    if (fs::is_directory(folder / "configs" / "lra")) return folder / "configs";
  }
  return {};
}

}  // namespace lotformer
