// SPDX-License-Identifier: MIT
// What a process has to do with others: locks on files, signals that ask it to stop.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "lotformer/core/error.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "support/catch.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;

/// Path of a file that is gone when the test ends.
struct File {
  explicit File(const std::string& name)
      : path(fs::temp_directory_path() / concat("lotformer-processes-", ::getpid(), "-", name)) {
    fs::remove(path);
  }
  ~File() { fs::remove(path); }
  const fs::path path;
};

/// Runs `body` in a child process and returns its exit status, or 128 + the signal that ended it.
template <class Body>
int status_of_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST_CASE("a lock is one process's, names it and ends with its holder") {
  const File file("lock");
  {
    const auto lock = FileLock::try_now(file.path);
    REQUIRE(lock);
    CHECK(FileLock::owner(file.path) == std::to_string(::getpid()));
    CHECK_FALSE(FileLock::try_now(file.path));
    CHECK(FileLock::owner(file.path) == std::to_string(::getpid()));  // who was refused has not signed
  }
  CHECK(FileLock::try_now(file.path));
  // A child that holds it and ends without cleaning up leaves it free, with its own name in it.
  CHECK(status_of_child([&] { return FileLock::try_now(file.path) ? 0 : 1; }) == 0);
  CHECK(FileLock::owner(file.path) != std::to_string(::getpid()));
  CHECK(FileLock::try_now(file.path));
}

TEST_CASE("a lock is waited for") {
  const File file("wait");
  int go[2];
  REQUIRE(::pipe(go) == 0);
  // The child begins before the lock is taken: a lock belongs to the open file, which a child would inherit.
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    if (::read(go[0], &byte, 1) != 1) ::_exit(2);
    const FileLock lock = FileLock::wait(file.path, "a test");
    ::_exit(FileLock::owner(file.path) == std::to_string(::getpid()) ? 0 : 1);
  }
  std::optional<FileLock> held = FileLock::try_now(file.path);
  CHECK(held);
  CHECK(::write(go[1], "x", 1) == 1);
  ::usleep(50'000);
  int status = -1;
  CHECK(::waitpid(child, &status, WNOHANG) == 0);  // it waits
  held.reset();
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  ::close(go[0]);
  ::close(go[1]);
}

TEST_CASE("a lock that cannot be made is an error with its path") {
  const File folder("folder");
  fs::create_directory(folder.path);
  CHECK_THROWS_AS(FileLock::try_now(folder.path), Error);
  CHECK(FileLock::owner(folder.path).empty());
  CHECK(FileLock::owner(folder.path / "absent").empty());
}

/// status_of_child() as a program begins: the test's own handlers of signals are not there.
template <class Body>
int status_of_program(const Body& body) {
  return status_of_child([&] {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGHUP, SIG_DFL);
    return body();
  });
}

TEST_CASE("a signal is a question first and ends the process when it comes again") {
  CHECK(status_of_program([] {
          const StopSignals stop(StopSignals::Ignored::leave);
          if (StopSignals::received() != 0) return 1;
          std::raise(SIGTERM);
          return StopSignals::received() == SIGTERM ? 0 : 2;
        }) == 0);
  CHECK(status_of_program([] {
          const StopSignals stop(StopSignals::Ignored::leave);
          std::raise(SIGTERM);
          return std::raise(SIGTERM);
        }) == 128 + SIGTERM);
  // What was there before is there again, and an old signal is forgotten.
  CHECK(status_of_program([] {
          { const StopSignals stop(StopSignals::Ignored::leave); }
          return std::raise(SIGINT);
        }) == 128 + SIGINT);
  CHECK(status_of_program([] {
          {
            const StopSignals stop(StopSignals::Ignored::leave);
            std::raise(SIGINT);
          }
          const StopSignals stop(StopSignals::Ignored::leave);
          return StopSignals::received();
        }) == 0);
}

TEST_CASE("an ignored signal stays ignored unless it is asked for, a handled one is left alone") {
  const auto with = [](StopSignals::Ignored ignored, void (*before)(int)) {
    return status_of_program([=] {
      std::signal(SIGINT, before);
      const StopSignals stop(ignored);
      std::raise(SIGINT);
      return StopSignals::received();
    });
  };
  CHECK(with(StopSignals::Ignored::leave, SIG_IGN) == 0);
  CHECK(with(StopSignals::Ignored::take, SIG_IGN) == SIGINT);
  CHECK(with(StopSignals::Ignored::take, [](int) {}) == 0);
}

TEST_CASE("where nothing is to be saved every such signal ends the process with 75, unless it is ignored") {
  using Then = StopSignals::Then;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    CHECK(status_of_program([=] {
            std::signal(signal, SIG_DFL);
            const StopSignals stop(StopSignals::Ignored::take, Then::leave, "nothing is lost");
            std::raise(signal);
            return 0;
          }) == 75);
  }
  CHECK(status_of_program([] {
          std::signal(SIGHUP, SIG_IGN);
          const StopSignals stop(StopSignals::Ignored::take, Then::leave);
          std::raise(SIGHUP);  // nohup
          return 5;
        }) == 5);
}

TEST_CASE("signals nest: the innermost rules, and what nobody answered is passed on") {
  using Then = StopSignals::Then;
  CHECK(status_of_program([] {
          const StopSignals outer(StopSignals::Ignored::take, Then::leave);
          const StopSignals inner(StopSignals::Ignored::take);
          std::raise(SIGTERM);
          return StopSignals::received();
        }) == 75);  // at the end of `inner`
  CHECK(status_of_program([] {
          const StopSignals outer(StopSignals::Ignored::take, Then::leave);
          try {
            const StopSignals inner(StopSignals::Ignored::take);
            std::raise(SIGTERM);
            throw Error(ErrorKind::interrupted, "an answer");
          } catch (const Error&) {
            return 3;
          }
        }) == 3);
}

}  // namespace
}  // namespace lotformer
