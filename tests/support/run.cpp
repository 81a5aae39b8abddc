// SPDX-License-Identifier: MIT
#include "support/run.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace lotformer::test {
namespace fs = std::filesystem;
namespace {

void limit(int resource, int64_t bytes) {
  if (bytes <= 0) return;
  const rlimit value{static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
  setrlimit(resource, &value);
}

void redirect(const fs::path& path, int target) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(fd, target);
  ::close(fd);
}

[[noreturn]] void become(const Command& command, const fs::path& output) {
  redirect(command.stdout_path.empty() ? output / "out" : command.stdout_path, STDOUT_FILENO);
  redirect(output / "err", STDERR_FILENO);
  for (const auto& [name, value] : command.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) ::_exit(126);
  limit(RLIMIT_FSIZE, command.file_size_limit);
  limit(RLIMIT_AS, command.memory_limit);
  const std::string program = (fs::path(LOTFORMER_BIN_DIR) / command.program).string();
  std::vector<char*> arguments = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : command.arguments)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  ::_exit(127);
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "lotformer-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Process::Process(const Command& command) {
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  group_ = command.group;
  if (group_) ::setpgid(pid_, 0);  // in both processes: whichever comes first
  if (pid_ == 0) become(command, output_.path());
}

Process::~Process() {
  if (reaped_) return;
  signal(SIGKILL);
  ::waitpid(pid_, &status_, 0);
}

void Process::signal(int number) {
  ::kill(group_ ? -pid_ : pid_, number);
}

bool Process::running() {
  if (!reaped_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

std::string Process::err_so_far() const {
  return slurp(output_.path() / "err");
}

Finished Process::wait() {
  if (!reaped_) ::waitpid(pid_, &status_, 0);
  reaped_ = true;
  const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  return {code, slurp(output_.path() / "out"), slurp(output_.path() / "err")};
}

Finished run(const Command& command) {
  return Process(command).wait();
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace lotformer::test
