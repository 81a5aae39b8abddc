// SPDX-License-Identifier: MIT
#include "lotformer/core/program.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <fstream>
#include <iostream>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer_build_id.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

std::string program_name = "lotformer";

/// The failure that a descriptor shall report when it is used: standard input and output of /dev/null are
/// opened the wrong way round, so that a result that nobody can read is an error; what would have been logged
/// is dropped.
void open_closed_streams() {
  constexpr std::array kModes = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int stream = 0; stream < 3; ++stream) {
    if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one: those below are open by now.
    const int opened = ::open("/dev/null", kModes[static_cast<size_t>(stream)]);
    if (opened == stream || opened < 0) continue;
    ::dup2(opened, stream);
    ::close(opened);
  }
}

void complain(const std::string& message) {
  std::cout.flush();
  std::cerr << program_name << ": error: " << message << std::endl;
}

/// Prints the exception that is being handled and returns its exit code.
int report() {
  try {
    throw;
  } catch (const Error& error) {
    complain(error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return static_cast<int>(ErrorKind::memory);
  } catch (const std::system_error& error) {  // a thread that cannot be started, a file that cannot be asked
    const bool memory = error.code() == std::errc::resource_unavailable_try_again ||
                        error.code() == std::errc::not_enough_memory;
    complain(error.what());
    return static_cast<int>(memory ? ErrorKind::memory : ErrorKind::disk);
  } catch (const std::exception& error) {
    complain(std::string("internal error: ") + error.what());
    return static_cast<int>(ErrorKind::internal);
  }
}

}  // namespace

int run_program(const std::string& name, const std::function<int()>& body) {
  program_name = name;
  open_closed_streams();
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file-size limit then is a failed write with a message, not a killed process
  try {
    const int code = body();
    if (!std::cout.flush())
      throw Error(ErrorKind::disk, "standard output cannot be written (disk full, or closed?)");
    return code;
  } catch (...) {
    return report();
  }
}

void leave_program(const std::function<void()>& throws) {
  int code = static_cast<int>(ErrorKind::internal);
  try {
    throws();
  } catch (...) {
    code = report();
  }
  ::_exit(code);
}

void restart_program() {
  std::error_code code;
  const fs::path self = fs::read_symlink("/proc/self/exe", code);
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  if (code || words.empty()) return;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(self.c_str(), arguments.data());
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
