// SPDX-License-Identifier: MIT
// A start that comes to nothing leaves nothing behind: no run folder, no half-made data.
#include <csignal>
#include <fstream>
#include <thread>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

const char* const kValidationFile = "listops-1000/basic_val.tsv";

/// Waits for a path to appear while the process runs; false when it ended before.
bool wait_for(const fs::path& path, Process& process) {
  while (process.running()) {
    if (fs::exists(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

bool is_empty_but_for_locks(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() != ".lock") return false;
  }
  return true;
}

}  // namespace

TEST_CASE("missing data leave no run folder behind", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "nothing", run_folder = folder.path() / "run";
  const Command command = train_command(run_folder, {"--set", "data.root=" + root.string()});
  const Finished refused = run(command);
  CHECK(refused.exit_code == 3);
  CHECK_FALSE(fs::exists(run_folder));
  fs::create_directories(run_folder);  // the user's own folder stays
  CHECK(run(command).exit_code == 3);
  CHECK(fs::exists(run_folder));
}

TEST_CASE("a split without examples is an error before the first step, and by name", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "data", run_folder = folder.path() / "run";
  const Finished made = run(
      Command{.program = "lotformer-data",
              .arguments = {"generate", "--task", "pathfinder32", "--train", "7", "--root", root.string()}});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
  const Finished refused =
      run(train_command(run_folder, {"--set", "data.root=" + root.string(), "--set", "task=pathfinder32",
                                     "--set", "data.max_length=0", "--json"}));
  INFO(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, contains_text("the val split of pathfinder32 has no examples"));
  CHECK_FALSE(fs::exists(run_folder));
}

TEST_CASE("a number on the console says that the data are not the official ones", "[cli]") {
  const TemporaryFolder folder;
  const Finished done = run(train_command(folder.path() / "run", {"--set", "train.steps=2"}));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.err, contains_text("examples (synthetic data) in "));
}

TEST_CASE("broken data leave no run behind: once they are mended the same command starts", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "data", run_folder = folder.path() / "run";
  fs::copy(small_listops(), root, fs::copy_options::recursive);
  fs::remove(root / "listops-1000/SYNTHETIC.json");
  const std::string good = slurp(root / kValidationFile);
  std::ofstream(root / kValidationFile, std::ios::app) << "no expression\t3\r\n";
  const Command command =
      train_command(run_folder, {"--set", "data.root=" + root.string(), "--set", "train.steps=2"});
  const Finished refused = run(command);
  INFO(refused.err);
  CHECK(refused.exit_code == 3);
  CHECK_FALSE(fs::exists(run_folder));
  std::ofstream(root / kValidationFile, std::ios::trunc) << good;
  const Finished started = run(command);
  INFO(started.err);
  CHECK(started.exit_code == 0);
}

TEST_CASE("a signal takes back data that are being made", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "data";
  Process generate(Command{
      .program = "lotformer-data",
      .arguments = {"generate", "--task", "pathfinder64", "--train", "80000", "--root", root.string()}});
  REQUIRE(wait_for(root / "pathfinder64/.curv_contour_length_14.partial", generate));
  generate.signal(SIGTERM);
  const Finished stopped = generate.wait();
  CHECK(stopped.exit_code == 75);
  CHECK(stopped.err.find("stopped by signal 15") != std::string::npos);
  CHECK(is_empty_but_for_locks(root));
}

TEST_CASE("a signal while training makes its data leaves neither data nor run", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "data", run_folder = folder.path() / "run";
  Process train(train_command(
      run_folder, {"--set", "data.root=" + root.string(), "--set", "data.generate_missing=true"}));
  REQUIRE(wait_for(root / ".listops-1000.partial", train));
  train.signal(SIGINT);
  const Finished stopped = train.wait();
  INFO(stopped.err);
  CHECK(stopped.exit_code == 75);
  CHECK(is_empty_but_for_locks(root));
  CHECK_FALSE(fs::exists(run_folder));
}
