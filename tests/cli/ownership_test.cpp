// SPDX-License-Identifier: MIT
// Whose folder is it, and whose results are these? Nothing that is not ours is touched, nothing old is sold
// as new, and what a refused or broken-off start leaves does not stand in the way of the right command.
#include <fstream>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> settings(std::vector<std::string> more = {}) {
  std::vector<std::string> all = {"--set", "train.steps=8", "--set", "train.eval_every=4"};
  for (std::string& assignment : more) {
    all.push_back("--set");
    all.push_back(std::move(assignment));
  }
  return all;
}

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// Every file below a folder with its content, but for locks and timings.
std::map<std::string, std::string> content(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const bool skipped = entry.is_directory() || entry.path().filename() == ".lock";
    if (!skipped) found[entry.path().string()] = slurp(entry.path());
  }
  return found;
}

}  // namespace

TEST_CASE("the results of a finished run are those of its data only", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, settings()));
  const auto before = content(path);
  const Finished nowhere =
      must_run(train_command(path, settings({"data.root=" + (folder.path() / "nowhere").string()})), 3);
  CHECK_THAT(nowhere.err, contains_text("not found"));
  const fs::path other = folder.path() / "other";
  must_run(
      {.program = "lotformer-data",
       .arguments = {"generate", "--task",       "listops", "--root",       other.string(), "--seed",
                     "9",        "--train",      "50",      "--val",        "20",           "--test",
                     "20",       "--min-length", "5",       "--max-length", "100",          "--max-depth",
                     "3",        "--max-args",   "4"}});
  const Finished elsewhere = must_run(train_command(path, settings({"data.root=" + other.string()})), 3);
  CHECK_THAT(elsewhere.err, contains_text("the train split is not the one that this run was begun with"));
  // One row of the validation files alone: neither the finished run nor a resume takes them for its own.
  const fs::path changed = folder.path() / "changed";
  fs::copy(small_listops(), changed, fs::copy_options::recursive);
  fs::remove(changed / "listops-1000/SYNTHETIC.json");
  std::ofstream(changed / "listops-1000/basic_val.tsv", std::ios::app) << "( ( ( [MAX 1 ) 2 ) ] )\t2\r\n";
  const Finished val = must_run(train_command(path, settings({"data.root=" + changed.string()})), 3);
  CHECK_THAT(val.err, contains_text("the val split is not the one"));
  CHECK(content(path) == before);
  // The same data in another place are the same data.
  const fs::path copy = folder.path() / "copy";
  fs::copy(small_listops(), copy, fs::copy_options::recursive);
  const Finished same =
      must_run(train_command(path, settings({"data.root=" + copy.string(), "train.keep=3"})));
  CHECK_THAT(same.err, contains_text("this run is finished"));
}

TEST_CASE("a folder that is not ours is refused with 2 and stays as it is", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mine";
  fs::create_directories(path / "notes.tmp-old");
  fs::copy(LOTFORMER_TEST_DATA "/configs/tiny.yaml", path / "config.yaml");
  std::ofstream(path / "metrics.jsonl") << "{}\n";
  std::ofstream(path / "results.json") << "{}\n";
  std::ofstream(path / "notes.tmp-old/thesis") << "text\n";
  const auto before = content(path);
  Command command = train_command(path, settings());
  command.arguments[1] = (path / "config.yaml").string();  // the very file given to --config
  const Finished refused = must_run(command, 2);
  CHECK_THAT(refused.err, contains_text("is no run of ours"));
  for (const char* mode : {"must", "never"}) {
    INFO(mode);
    const int code = run(train_command(path, with(settings(), {"--resume", mode}))).exit_code;
    CHECK(code == 2);
  }
  CHECK(content(path) == before);
  CHECK_FALSE(fs::exists(path / ".lock"));
  const fs::path data = folder.path() / "data";
  fs::copy(small_listops(), data, fs::copy_options::recursive);
  const Finished inside = must_run(train_command(data / "listops-1000/runs/r", settings()), 2);
  CHECK_THAT(inside.err, contains_text("inside the data folder"));
  CHECK_FALSE(fs::exists(data / "listops-1000/runs"));
}

TEST_CASE("a finished run without its checkpoints keeps its results, and other settings do not get in",
          "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, settings()));
  fs::remove_all(path / "checkpoints");
  const auto before = content(path);
  const Finished other = must_run(train_command(path, settings({"train.lr=0.5"})), 2);
  CHECK_THAT(other.err, contains_text("train.lr was 0.001, is 0.5"));
  const Finished same = must_run(train_command(path, with(settings(), {"--json"})));
  CHECK(Json::parse(same.out) == Json::parse(slurp(path / "results.json")));
  CHECK(content(path) == before);
}

TEST_CASE("bookkeeping changes neither the default run folder nor what a resume takes", "[cli]") {
  const TemporaryFolder folder;
  Command command = train_command("", settings());
  command.arguments.erase(command.arguments.begin() + 4, command.arguments.begin() + 6);  // --run-dir
  command.directory = folder.path();
  must_run(command);
  for (const char* key : {"train.log_every=3", "train.keep=5", "eval.batch_size=7", "data.prefetch=0",
                          "train.diagnostics_every=4", "train.checkpoint_every=3"})
    command.arguments.insert(command.arguments.end(), {"--set", key});
  const Finished again = must_run(command);
  CHECK_THAT(again.err, contains_text("this run is finished"));
  CHECK(std::distance(fs::directory_iterator(folder.path() / "runs"), {}) == 1);
}

TEST_CASE("a wrong start leaves a folder that the right one can take", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  // It ends in its first step, before anything is logged.
  const Finished wrong =
      run(train_command(path, settings({"train.lr=1000", "train.weight_decay=1000", "train.warmup_steps=0",
                                        "train.clip=0", "train.log_every=1000", "train.eval_every=0"})));
  CHECK((wrong.exit_code == 6 || wrong.exit_code == 0));
  if (wrong.exit_code == 6) must_run(train_command(path, settings()));
}

TEST_CASE("--resume PATH goes on after a signal, a kill on the way and a mistake", "[cli]") {
  const TemporaryFolder folder;
  const fs::path origin = folder.path() / "origin", path = folder.path() / "branch";
  const std::vector<std::string> same = settings({"train.keep=4", "train.checkpoint_every=2"});
  must_run(train_command(origin, same));
  const fs::path middle = origin / "checkpoints/step-00000006";
  REQUIRE(fs::exists(middle));
  const std::vector<std::string> branch = with(same, {"--resume", middle.string()});
  // A mistake copies nothing.
  must_run(train_command(path, with(branch, {"--set", "train.lr=0.5"})), 2);
  CHECK_FALSE(fs::exists(path));
  must_run(train_command(path, branch));
  CHECK(run_bytes(path) == run_bytes(origin));
  must_run(train_command(path, branch));  // the same command again finds it finished
  const Finished other = must_run(train_command(path, with(same, {"--resume", origin.string()})), 2);
  CHECK_THAT(other.err, contains_text("is not empty"));

  // As a kill between two copies leaves it: the log and the best checkpoint, not the start.
  for (const char* resume : {"auto", "must", ""}) {
    INFO(resume);
    const fs::path killed = folder.path() / (std::string("killed") + resume);
    fs::create_directories(killed / "checkpoints");
    fs::copy(path / "run.json", killed / "run.json");
    fs::copy(origin / "metrics.jsonl", killed / "metrics.jsonl");
    fs::copy(origin / "checkpoints/step-00000004", killed / "checkpoints/step-00000004");
    const std::vector<std::string> arguments =
        *resume == '\0' ? branch : with(same, {"--resume", std::string(resume)});
    const Finished done = must_run(train_command(killed, arguments));
    CHECK_THAT(done.err, contains_text("resuming at step 6"));
    CHECK(run_bytes(killed) == run_bytes(origin));
    CHECK(slurp(killed / "run.json") == slurp(path / "run.json"));  // it is the run that it was
    CHECK_THAT(must_run(train_command(killed, arguments)).err, contains_text("this run is finished"));
  }

  // What the branch took over it needs no more, and its results stay when its checkpoints go.
  fs::remove_all(origin / "checkpoints");
  fs::remove(path / "results.json");
  CHECK_THAT(must_run(train_command(path, branch)).err, contains_text("resuming at step"));
  fs::remove_all(path / "checkpoints");
  const std::string results = slurp(path / "results.json");
  must_run(train_command(path, branch));
  CHECK(slurp(path / "results.json") == results);
}

TEST_CASE("closed standard streams never become files of ours", "[cli]") {
  const TemporaryFolder folder;
  const Command plain = train_command(folder.path() / "run", settings());
  for (const char* closed : {"<&- 2>&-", "<&- 2>&- >/dev/null", "2>&-"}) {
    INFO(closed);
    const fs::path path = folder.path() / "run";
    fs::remove_all(path);
    std::string line = LOTFORMER_BIN_DIR "/lotformer-train";
    for (const std::string& argument : plain.arguments) line += " '" + argument + "'";
    must_run({.program = "/bin/bash", .arguments = {"-c", "exec " + line + " " + closed}});
    CHECK(read_lines(path / "metrics.jsonl").size() > 3);  // throws for anything but JSON
    CHECK(read_lines(path / "timings.jsonl").size() > 3);
  }
  // Results that nobody can read are an error, and the run is kept.
  std::string line =
      LOTFORMER_BIN_DIR "/lotformer-eval '" + (folder.path() / "run").string() + "' --device cpu";
  const Finished unread = run({.program = "/bin/bash", .arguments = {"-c", "exec " + line + " >&-"}});
  CHECK(unread.exit_code == 5);
  CHECK_THAT(unread.err, contains_text("standard output"));
}

TEST_CASE("a damaged best checkpoint is found at the start, and the run ends with the last", "[cli]") {
  const TemporaryFolder folder;
  fs::path path;
  Json before;
  std::vector<std::string> what;
  for (int seed = 0; seed < 20; ++seed) {  // one whose best checkpoint is not its last
    path = folder.path() / std::to_string(seed);
    what = settings({"train.seed=" + std::to_string(seed), "train.lr=0.05", "train.eval_every=1"});
    must_run(train_command(path, what));
    before = Json::parse(slurp(path / "results.json"));
    if (before.at("step_chosen") < 8) break;
  }
  REQUIRE(before.at("step_chosen") < 8);
  const std::string step = std::to_string(before.at("step_chosen").get<int>());
  const fs::path best = path / "checkpoints" / ("step-0000000" + step);
  flip_byte(best / "model.safetensors", 400);
  fs::remove(path / "results.json");
  const Finished done = must_run(train_command(path, what));
  CHECK_THAT(done.err, contains_text("the best checkpoint (step " + step + ") is lost"));
  const Json after = Json::parse(slurp(path / "results.json"));
  CHECK(after.at("step_chosen") == 8);
  CHECK(after.at("lost_best").at("step") == before.at("step_chosen"));
  CHECK(after.at("val") == before.at("last").at("val"));
  CHECK(after.at("test") == before.at("last").at("test"));
  CHECK_THAT(done.out, contains_text("the best by validation is lost"));
  const Finished evaluated = must_run(eval_command(path, {"--split", "val"}));
  CHECK(Json::parse(evaluated.out).at("step") == 8);
}
