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
  std::optional<FileLock> held = FileLock::try_now(file.path);
  REQUIRE(held);
  const pid_t child = ::fork();
  if (child == 0) {
    const FileLock lock = FileLock::wait(file.path, "a test");
    ::_exit(FileLock::owner(file.path) == std::to_string(::getpid()) ? 0 : 1);
  }
  ::usleep(50'000);
  int status = -1;
  CHECK(::waitpid(child, &status, WNOHANG) == 0);  // it waits
  held.reset();
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a lock that cannot be made is an error with its path") {
  const File folder("folder");
  fs::create_directory(folder.path);
  CHECK_THROWS_AS(FileLock::try_now(folder.path), Error);
  CHECK(FileLock::owner(folder.path).empty());
  CHECK(FileLock::owner(folder.path / "absent").empty());
}

TEST_CASE("a signal is a question first and ends the process when it comes again") {
  {
    const StopSignals stop(StopSignals::Ignored::leave);
    CHECK(StopSignals::received() == 0);
    std::raise(SIGTERM);
    CHECK(StopSignals::received() == SIGTERM);
    CHECK(status_of_child([] { return std::raise(SIGTERM); }) == 128 + SIGTERM);
  }
  CHECK(status_of_child([] { return std::raise(SIGINT); }) == 128 + SIGINT);  // what was there is there again
  const StopSignals stop(StopSignals::Ignored::leave);
  CHECK(StopSignals::received() == 0);  // an old signal is forgotten
}

TEST_CASE("an ignored signal stays ignored unless it is asked for") {
  const auto with = [](StopSignals::Ignored ignored) {
    return status_of_child([ignored] {
      std::signal(SIGINT, SIG_IGN);
      const StopSignals stop(ignored);
      std::raise(SIGINT);
      return StopSignals::received();
    });
  };
  CHECK(with(StopSignals::Ignored::leave) == 0);
  CHECK(with(StopSignals::Ignored::take) == SIGINT);
}

}  // namespace
}  // namespace lotformer
