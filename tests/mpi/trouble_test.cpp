// SPDX-License-Identifier: MIT
// Processes that end, that are silent, that are told to stop, that are not the same.
#include <algorithm>
#include <csignal>

#include "mpi/support.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

const Settings kLong = {"train.steps=100000", "train.checkpoint_every=20", "train.eval_every=0"};

/// metrics.jsonl may hold a part of a line at this moment.
bool has_lines(const fs::path& run_folder, int64_t lines) {
  const std::string text = slurp(run_folder / "metrics.jsonl");
  return std::count(text.begin(), text.end(), '\n') >= lines;
}

/// The ranks of a run that has made some steps.
std::vector<pid_t> ranks_under_way(Process& process, const fs::path& run_folder, size_t count) {
  REQUIRE(wait_until(process, [&] { return has_lines(run_folder, 30); }));
  const auto ranks = ranks_of(run_folder);
  REQUIRE(ranks.size() == count);
  return ranks;
}

size_t occurrences(const std::string& text, const std::string& words) {
  size_t count = 0;
  for (size_t place = text.find(words); place != std::string::npos; place = text.find(words, place + 1))
    ++count;
  return count;
}

/// Every process leaves its exit code in FOLDER/RANK; mpirun's signals are for the program alone.
Command with_exit_codes(int count, const fs::path& folder, const fs::path& run_folder,
                        const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = launcher_arguments(count);
  arguments.insert(
      arguments.end(),
      {"sh", "-c", "trap : TERM; \"$@\"; echo $? > " + folder.string() + "/$OMPI_COMM_WORLD_RANK; exit 0",
       "sh", LOTFORMER_BIN_DIR "/lotformer-train"});
  for (std::string& word : train_arguments(run_folder, kLong, more)) arguments.push_back(std::move(word));
  return launcher(std::move(arguments));
}

}  // namespace

TEST_CASE("a process that is killed ends the others, which name it", "[mpi][trouble]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const int victim = GENERATE(0, 2);
  Process process(with_exit_codes(3, folder.path(), path));
  const auto ranks = ranks_under_way(process, path, 3);
  ::kill(ranks[static_cast<size_t>(victim)], SIGKILL);
  const Finished done = process.wait();
  INFO(done.err);
  CHECK_THAT(done.err, contains_text("rank " + std::to_string(victim) + " (process " +
                                     std::to_string(ranks[static_cast<size_t>(victim)]) + " on "));
  CHECK(occurrences(done.err, "has ended, and nobody can go on without it") == 1);
  for (int rank = 0; rank < 3; ++rank) {
    if (rank != victim) CHECK(slurp(folder.path() / std::to_string(rank)) == "8\n");
  }
  // Nothing is lost: another number of processes goes on from the last checkpoint.
  Process again(processes(2, path, kLong));
  REQUIRE(
      wait_until(again, [&] { return again.err_so_far().find("resuming at step") != std::string::npos; }));
  again.signal(SIGUSR1);  // which mpirun passes on
  CHECK(again.wait().exit_code == 75);
}

TEST_CASE("a process that is silent ends the others after their patience", "[mpi][trouble]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const size_t silent = GENERATE(0, 1);
  Process process(with_exit_codes(3, folder.path(), path, {"--patience", "2"}));
  const auto ranks = ranks_under_way(process, path, 3);
  ::kill(ranks[silent], SIGSTOP);
  const fs::path other = folder.path() / (silent == 0 ? "1" : "0"), third = folder.path() / "2";
  REQUIRE(wait_until(process, [&] { return fs::exists(other) && fs::exists(third); }));
  ::kill(ranks[silent], SIGKILL);
  const Finished done = process.wait();
  INFO(done.err);
  CHECK_THAT(done.err, contains_text("rank " + std::to_string(silent) + " (process " +
                                     std::to_string(ranks[silent]) + " on "));
  CHECK_THAT(done.err, contains_text("not come to the same point"));
  CHECK(slurp(other) == "8\n");
  CHECK(slurp(third) == "8\n");
}

TEST_CASE("a signal to one process stops all after the same step, saved", "[mpi][trouble]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  Process process(with_exit_codes(3, folder.path(), path));
  const auto ranks = ranks_under_way(process, path, 3);
  ::kill(ranks[1], SIGUSR1);
  const Finished done = process.wait();
  INFO(done.err);
  CHECK(occurrences(done.err, "stopped by signal 10 at step") == 1);
  CHECK_THAT(done.err, contains_text("state saved"));
  for (const char* rank : {"0", "1", "2"}) CHECK(slurp(folder.path() / rank) == "75\n");
  // What was logged last is what was saved.
  const auto steps = numbers_of(path, "train", "step");
  const Json state = Json::parse(slurp(newest_checkpoint(path) / "state.json"));
  CHECK(state.at("step").get<double>() == steps.back());
}

TEST_CASE("a process of another configuration or of other data is refused before anything is written",
          "[mpi][trouble]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const auto pair = [&](const Settings& first, const Settings& second) {
    std::vector<std::string> arguments = launcher_arguments(1);
    arguments.push_back(LOTFORMER_BIN_DIR "/lotformer-train");
    for (std::string& word : train_arguments(path, first)) arguments.push_back(std::move(word));
    arguments.insert(arguments.end(), {":", "-n", "1", LOTFORMER_BIN_DIR "/lotformer-train"});
    for (std::string& word : train_arguments(path, second)) arguments.push_back(std::move(word));
    const Finished done = run(launcher(std::move(arguments)));
    INFO(done.err);
    CHECK(done.exit_code == 2);
    CHECK(!fs::exists(path));
    return done.err;
  };
  const std::string keys = pair({}, {"train.lr=0.5", "train.log_every=3"});
  CHECK_THAT(keys, contains_text("the configuration of rank 1"));
  CHECK_THAT(keys, contains_text("train.lr is 0.5 and 0.001 there"));
  CHECK_THAT(keys, contains_text("train.log_every is 3 and 1 there"));
  CHECK(occurrences(keys, "error: ") == 1);

  const fs::path other = folder.path() / "other";
  must_run({.program = "lotformer-data",
            .arguments = {"generate",
                          "--task",
                          "listops",
                          "--root",
                          other.string(),
                          "--train",
                          "400",
                          "--val",
                          "60",
                          "--test",
                          "50",
                          "--min-length",
                          "5",
                          "--max-length",
                          "100",
                          "--max-depth",
                          "3",
                          "--max-args",
                          "4",
                          "--seed",
                          "1"}});
  const std::string data = pair({}, {"data.root=" + other.string()});
  CHECK_THAT(data, contains_text("the fingerprint of the data of rank 1"));
}

TEST_CASE("an error that all processes have is said once", "[mpi][trouble]") {
  const TemporaryFolder folder;
  const auto refused = [&](const Settings& settings, const std::string& words) {
    const Finished done = run(processes(2, folder.path() / "run", settings));
    INFO(done.err);
    CHECK(done.exit_code == 2);
    CHECK(occurrences(done.err, words) == 1);
    CHECK(!fs::exists(folder.path() / "run"));
  };
  refused({"train.lrr=1"}, "train.lrr: unknown key");
  refused({"train.batch_size=1"}, "train.batch_size 1 is the batch of all 2 processes");
  refused({"train.microbatch=auto"}, "train.microbatch=auto");
}

TEST_CASE("--devices passes a signal on, and a death is its exit code", "[mpi][trouble]") {
  const TemporaryFolder folder;
  const auto start = [&](const fs::path& run_folder) {
    Command command = one_process(run_folder, kLong);
    command.arguments.insert(command.arguments.end(), {"--devices", "2"});
    command.environment = launcher({}).environment;
    return command;
  };
  const fs::path told = folder.path() / "told";
  Process process(start(told));
  ranks_under_way(process, told, 2);
  process.signal(SIGINT);
  const Finished stopped = process.wait();
  INFO(stopped.err);
  CHECK(stopped.exit_code == 75);
  CHECK(occurrences(stopped.err, "state saved, the same command continues") == 1);

  const fs::path killed = folder.path() / "killed";
  Process other(start(killed));
  const auto ranks = ranks_under_way(other, killed, 2);
  ::kill(ranks[1], SIGKILL);
  const Finished done = other.wait();
  INFO(done.err);
  CHECK(done.exit_code == 8);
  CHECK_THAT(done.err, contains_text("rank 1 (process "));
}

TEST_CASE("a launcher that MPI does not know is refused", "[mpi][trouble]") {
  const TemporaryFolder folder;
  Command command = one_process(folder.path() / "run", {"train.steps=1"});
  command.environment = {{"PMI_SIZE", "4"}};
  const Finished refused = run(command);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, contains_text("the launcher says that it has started 4 processes"));
}

TEST_CASE("tasks of srun that know nothing of each other are refused", "[mpi][trouble]") {
  const TemporaryFolder folder;
  Command command = one_process(folder.path() / "run", {"train.steps=1"});
  command.environment = {{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_ID", "0"}};
  const Finished refused = run(command);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, contains_text("srun has started 4 tasks that know nothing of each other"));
  command.environment[0].second = "1";
  must_run(command);
}
