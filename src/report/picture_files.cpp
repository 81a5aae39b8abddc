// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "pictures.h"

extern char** environ;

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;

/// Both files from one script; gnuplot reads it once for each terminal.
std::string with_terminals(const Picture& picture) {
  return concat(
      "set encoding utf8\nset terminal svg size 800,480 noenhanced background rgb \"white\" font "
      "\"sans,13\"\nset output \"",
      picture.name, ".svg\"\n", picture.script,
      "set terminal pngcairo noenhanced size 1600,960 fontscale 1.6\nset output \"", picture.name,
      ".png\"\nreplot\n");
}

/// Exit status of gnuplot in `folder`, or -1 with errno set where there is none.
int run_gnuplot(const fs::path& folder, const std::string& script) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "gnuplot.log", O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  std::string program = "gnuplot", argument = script;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int code = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) {
    errno = code;
    return -1;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/// Those of an earlier report, which may be of runs that are no longer in it: scripts, and what bears their
/// names.
void remove_pictures(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> scripts;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".gp") scripts.push_back(entry.path());
  }
  for (fs::path path : scripts) {
    for (const char* suffix : {".gp", ".svg", ".png"}) fs::remove(path.replace_extension(suffix), ignored);
  }
  fs::remove(folder / "gnuplot.log", ignored);
}

}  // namespace

int write_pictures(const std::vector<Picture>& pictures, const fs::path& folder,
                   std::vector<std::string>& notes) {
  lotformer::create_directories(folder);
  std::error_code ignored;
  remove_pictures(folder);
  int drawn = 0, failed = 0;
  bool present = true;
  for (const Picture& picture : pictures) {
    const std::string script = picture.name + ".gp";
    write_atomic(folder / script, with_terminals(picture));
    if (!present) continue;
    const int status = run_gnuplot(folder, script);
    present = status >= 0;
    drawn += status == 0 ? 1 : 0;
    failed += status > 0 ? 1 : 0;
  }
  if (!present)
    notes.push_back(concat("gnuplot is not here (Debian: gnuplot-nox), so the pictures are scripts only: ",
                           (folder / "*.gp").string()));
  if (failed > 0)
    notes.push_back(concat("gnuplot failed for ", failed, " pictures: ", (folder / "gnuplot.log").string()));
  if (failed == 0) fs::remove(folder / "gnuplot.log", ignored);
  return drawn;
}

}  // namespace lotformer::report
