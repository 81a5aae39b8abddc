// SPDX-License-Identifier: MIT
// A process that writes checkpoints is killed at random moments, many times.
#include <ATen/core/Tensor.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "train/checkpoint_support.h"
#include "train/run/run_folder.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;
using test::best_at;
using test::TemporaryFolder;
using test::Warnings;
using test::write_step;

constexpr int64_t kElements = 3000;

/// Writes checkpoints from `step` on, replaces and prunes, until it is killed.
[[noreturn]] void write_forever(const RunFolder& run, int64_t step) {
  try {
    const FileLock lock = run.state() == RunFolder::State::vacant ? run.begin({}) : run.lock();
    run.remove_leftovers();
    for (;; ++step) {
      write_step(run.checkpoint_folder(step), step, best_at(step - step % 5), kElements);
      if (step % 3 == 0) write_step(run.checkpoint_folder(step), step, best_at(step - step % 5), kElements);
      run.prune(2, step - step % 5);
    }
  } catch (const std::exception& error) {
    log::error(error.what());
    ::_exit(1);
  }
}

TEST_CASE("run folder: kill -9 at any moment leaves whole checkpoints only") {
  const TemporaryFolder folder("kill");
  const RunFolder run(folder.path() / "run");
  std::mt19937_64 random(11);
  // The time of a write is that of ten fsyncs, which differs a hundredfold between disks: the kills follow
  // it.
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) write_step(folder.path() / "timed", i, nullptr, kElements);
  const std::chrono::duration<double, std::micro> writing = (std::chrono::steady_clock::now() - start) / 4;
  int64_t reached = 0;
  size_t interrupted_writes = 0;
  log::set_level(log::Level::warning);
  for (int round = 0; round < 50; ++round) {
    const pid_t child = ::fork();
    if (child == 0) write_forever(run, reached + 1);
    std::this_thread::sleep_for(writing * (6 * static_cast<double>(random() % 1000) / 1000));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    if (!fs::exists(run.checkpoints_folder())) continue;
    for (const std::string& name : test::names_in(run.checkpoints_folder()))
      interrupted_writes += name[0] == '.';
    for (const int64_t step : run.steps()) {
      INFO("round " << round << ", step " << step);
      REQUIRE(checkpoint_problem(run.checkpoint_folder(step)).value_or("whole") == "whole");
    }
    Warnings warnings;
    const auto newest = run.latest_whole();
    if (!newest) {
      REQUIRE(reached == 0);
      continue;
    }
    CHECK(warnings.list.empty());
    CHECK(newest->step >= reached);  // what was once there stays
    reached = newest->step;
    CHECK(newest->model.at("weight")[0].item<double>() == static_cast<double>(reached));
    const auto its_best = best_step(newest->state, "state");
    if (*its_best > 0) CHECK(run.checkpoint(*its_best).step == *its_best);
  }
  log::set_level(log::Level::info);
  CHECK(reached > 10);
  CHECK(interrupted_writes > 0);  // else the kills did not hit what they were meant to hit
}

}  // namespace
}  // namespace lotformer
