// SPDX-License-Identifier: MIT
#include "lotformer/mpi/start_processes.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/mpi/open_world.h"

namespace lotformer {
namespace {

constexpr int kMostProcesses = 1024;
constexpr int kCannotStart = 127;  // exit code, as a shell's

int count_of(const std::string& devices) {
  if (devices == "all") {
    const int count = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
    if (count == 0)
      throw Error(ErrorKind::device,
                  "--devices all: no CUDA device was found; a number starts so many processes on the CPU");
    return count;
  }
  int count = 0;
  const char* end = devices.data() + devices.size();
  const auto [stop, code] = std::from_chars(devices.data(), end, count);
  if (stop != end || code != std::errc{} || count < 1 || count > kMostProcesses)
    throw Error(ErrorKind::usage, concat("--devices: ", quoted(devices, 40),
                                         " is neither all nor a number from 1 to ", kMostProcesses));
  return count;
}

/// Of this process, without --devices and what belongs to it.
std::vector<std::string> other_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  bool skip = false;
  for (std::string word; std::getline(in, word, '\0');) {
    if (!skip && word.rfind("--devices=", 0) != 0 && word != "--devices") words.push_back(word);
    skip = word == "--devices";
  }
  return words;
}

// For the handler, which may read nothing else.
volatile pid_t launcher = 0;

void ask_to_stop(int /*signal*/) {
  if (launcher > 0) ::kill(launcher, SIGUSR1);
}

/// Those that this process was told to ignore stay ignored (`nohup`), but for SIGINT and SIGTERM.
void pass_signals_on() {
  struct sigaction action {};
  action.sa_handler = &ask_to_stop;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    const bool ignored = before.sa_handler == SIG_IGN && signal != SIGINT && signal != SIGTERM;
    if (!ignored) ::sigaction(signal, &action, nullptr);
  }
}

/// mpirun kills a second after it has passed a signal to end on. SIGUSR1 it passes on and does no more, so
/// that whatever tells us to stop becomes that, and mpirun has a process group of its own, which Ctrl-C does
/// not reach.
int wait_for_launcher(std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::cout.flush();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kCannotStart);
    ::execvp("mpirun", arguments.data());
    ::_exit(kCannotStart);
  }
  if (child < 0) throw Error(ErrorKind::device, concat("--devices: fork: ", std::strerror(errno)));
  launcher = child;
  pass_signals_on();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // 128 and more: of a process that died by a signal. The others have said which, and ended with this code.
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  if (code == kCannotStart)
    throw Error(ErrorKind::device, "--devices: mpirun cannot be started (Debian: openmpi-bin)");
  return code < 128 ? code : static_cast<int>(ErrorKind::device);
}

}  // namespace

std::optional<int> start_processes(const std::string& devices, const std::string& device) {
  if (started_by_launcher())
    throw Error(
        ErrorKind::usage,
        "--devices starts processes, and a launcher (mpirun, srun) has done that already: leave it out");
  if (device.rfind("cuda:", 0) == 0)
    throw Error(ErrorKind::usage, concat("--devices and --device ", device, ": one of the two"));
  const int count = count_of(devices);
  if (count == 1) return std::nullopt;
  if (!message_passing())
    throw Error(
        ErrorKind::usage,
        "--devices: this build has no MPI; install Open MPI (libopenmpi-dev, openmpi-bin), configure and "
        "build again");
  std::vector<std::string> words = {"mpirun", "-n",     std::to_string(count), "--oversubscribe", "--bind-to",
                                    "none",   "--quiet"};
  std::vector<std::string> own = other_arguments();
  if (own.empty()) throw Error(ErrorKind::device, "--devices: /proc/self/cmdline cannot be read");
  std::error_code unknown;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) own[0] = self.string();
  words.insert(words.end(), own.begin(), own.end());
  return wait_for_launcher(words);
}

}  // namespace lotformer
