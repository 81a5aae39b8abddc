// SPDX-License-Identifier: MIT
// Signals in every phase of a run: 75, soon, and nothing is lost.
#include <sys/file.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cli/support.h"
#include "lotformer/core/file_lock.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

bool has_line(const fs::path& file, const std::string& words) {
  return slurp(file).find(words) != std::string::npos;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Steps of about four seconds on one core; a forward pass changes the buffers of this module.
std::vector<std::string> slow_steps() {
  return {"--set", "model.attention.kind=performer",
          "--set", "model.attention.redraw_every=1",
          "--set", "model.layers=4",
          "--set", "model.dim=128",
          "--set", "model.ff_dim=512",
          "--set", "train.batch_size=800",
          "--set", "train.steps=2",
          "--set", "train.log_every=1",
          "--set", "train.eval_every=0",
          "--set", "train.checkpoint_every=0"};
}

}  // namespace

TEST_CASE("HUP, USR1, USR2 and XCPU save like TERM, and the run ends as it would have", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const std::vector<std::string> steps = {"--set", "train.steps=400"};
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const size_t before = slurp(path / "timings.jsonl").size();
    Process process(train_command(path, steps));
    REQUIRE(wait_until(process, [&] { return slurp(path / "timings.jsonl").size() > before; }));
    process.signal(number);
    const Finished done = process.wait();
    INFO(done.err);
    REQUIRE(done.exit_code == 75);
    CHECK_THAT(done.err, contains_text("stopped by signal " + std::to_string(number)));
    CHECK_THAT(done.err, contains_text("state saved"));
  }
  REQUIRE(run(train_command(path, steps)).exit_code == 0);
  REQUIRE(run(train_command(folder.path() / "undisturbed", steps)).exit_code == 0);
  CHECK(run_bytes(path) == run_bytes(folder.path() / "undisturbed"));
}

TEST_CASE("a run told to ignore a closed terminal goes on", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const auto before = std::signal(SIGHUP, SIG_IGN);  // inherited, as below nohup
  Process process(train_command(path));
  std::signal(SIGHUP, before);
  REQUIRE(wait_until(process, [&] { return fs::exists(path / "metrics.jsonl"); }));
  process.signal(SIGHUP);
  CHECK(process.wait().exit_code == 0);
}

TEST_CASE("a signal before the first step ends with 75 and leaves nothing", "[cli]") {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "data", path = folder.path() / "run";
  fs::copy(small_listops(), root, fs::copy_options::recursive);
  const fs::path caches = root / "listops-1000/.lotformer-cache";
  fs::remove_all(caches);
  fs::create_directories(caches);
  const auto lock = FileLock::try_now(caches / "lock");  // the trainer waits for it
  REQUIRE(lock);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    Process process(train_command(path, {"--set", "data.root=" + root.string()}));
    REQUIRE(wait_until(process, [&] {
      return process.err_so_far().find("waiting for another process") != std::string::npos;
    }));
    process.signal(number);
    const Finished done = process.wait();
    INFO(done.err);
    CHECK(done.exit_code == 75);
    CHECK_THAT(done.err, contains_text(": error: stopped by signal " + std::to_string(number)));
    CHECK_FALSE(fs::exists(path));
  }
}

TEST_CASE("a signal in the middle of a long step is answered in its middle, with the state before it",
          "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  Process process(train_command(path, slow_steps()));
  REQUIRE(wait_until(process, [&] { return has_line(path / "metrics.jsonl", "\"step\":1"); }));
  const auto start = std::chrono::steady_clock::now();
  process.signal(SIGTERM);
  const Finished stopped = process.wait();
  const double took = seconds_since(start);
  INFO(stopped.err);
  REQUIRE(stopped.exit_code == 75);
  CHECK_THAT(stopped.err, contains_text("at step 1; state saved"));
  CHECK(took < 60);  // a second of patience, and the load of the machine
  CHECK(newest_checkpoint(path).filename() == "step-00000001");
  REQUIRE(run(train_command(path, slow_steps())).exit_code == 0);
  REQUIRE(run(train_command(folder.path() / "undisturbed", slow_steps())).exit_code == 0);
  CHECK(run_bytes(path) == run_bytes(folder.path() / "undisturbed"));
}

TEST_CASE("after a signal in the last evaluation lotformer-eval scores what results name", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  // The second evaluation is the better one, and long enough to be hit.
  const std::vector<std::string> what = {"--set", "model.attention.kind=softmax",
                                         "--set", "model.layers=4",
                                         "--set", "model.dim=256",
                                         "--set", "eval.batch_size=1",
                                         "--set", "train.steps=2",
                                         "--set", "train.eval_every=1",
                                         "--set", "train.log_every=1",
                                         "--set", "train.warmup_steps=0"};
  Process process(train_command(path, what));
  REQUIRE(wait_until(process, [&] { return has_line(path / "metrics.jsonl", "\"step\":2"); }));
  process.signal(SIGTERM);
  const Finished stopped = process.wait();
  INFO(stopped.err);
  REQUIRE(stopped.exit_code == 75);
  REQUIRE_FALSE(fs::exists(path / "results.json"));
  const Finished done = run(train_command(path, what));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const Json results = Json::parse(slurp(path / "results.json"));
  CHECK(results.at("step_chosen") == 2);
  const Finished evaluated = run(eval_command(path, {"--split", "val"}));
  REQUIRE(evaluated.exit_code == 0);
  CHECK(Json::parse(evaluated.out).at("step") == results.at("step_chosen"));
  CHECK(Json::parse(evaluated.out).at("accuracy") == results.at("val").at("accuracy"));
}
