// SPDX-License-Identifier: MIT
// Every error a user can cause, through the real executables: exit code, one line on stderr, nothing on
// stdout, nothing lost.
#include <algorithm>
#include <fstream>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

struct Wanted {
  int exit_code;
  /// Each must stand in the message.
  std::vector<std::string> words;
};

/// The last line of stderr is the error; log lines may stand before it.
void require_error(const Command& command, const Wanted& wanted) {
  const Finished done = run(command);
  INFO("stderr: " << done.err);
  REQUIRE(done.exit_code == wanted.exit_code);
  CHECK(done.out.empty());
  const size_t at = done.err.rfind(": error: ");
  REQUIRE(at != std::string::npos);
  const std::string message = done.err.substr(at);
  for (const std::string& word : wanted.words) {
    INFO("word: " << word);
    CHECK(message.find(word) != std::string::npos);
  }
  CHECK(done.err.find("Exception raised from") == std::string::npos);
}

std::vector<std::string> set(const std::string& assignment) {
  return {"--set", assignment};
}

/// A run of `steps` steps with several checkpoints.
fs::path make_run(const fs::path& path, int64_t steps = 24) {
  const Finished done =
      run(train_command(path, {"--set", "train.steps=" + std::to_string(steps), "--set", "train.keep=3"}));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  return path;
}

}  // namespace

TEST_CASE("usage and configuration errors end with 2", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  require_error({.program = "lotformer-train"}, {2, {"--config", "lra/listops.yaml"}});
  require_error({.program = "lotformer-train", .arguments = {"--frobnicate"}},
                {2, {"--frobnicate", "--help"}});
  require_error({.program = "lotformer-train", .arguments = {"--config", "lra/nothing.yaml"}},
                {2, {"lra/nothing.yaml", "configs"}});
  require_error(train_command(path, set("train.stepz=3")), {2, {"train.stepz", "steps"}});
  require_error(train_command(path, set("model.attention.epsilon=-0.1")),
                {2, {"model.attention.epsilon", "-0.1"}});
  require_error(train_command(path, set("model.attention.kind=lotfromer")), {2, {"lotformer"}});
  require_error(train_command(path, {"--device", "gpu"}), {2, {"--device", "gpu"}});
  require_error({.program = "lotformer-eval"}, {2, {"RUN_OR_CHECKPOINT"}});
  require_error(eval_command(path, {"--split", "train"}), {2, {"--split"}});
  CHECK_FALSE(fs::exists(path / "checkpoints"));
}

TEST_CASE("all configuration errors come at once", "[cli]") {
  const TemporaryFolder folder;
  const Finished done =
      run(train_command(folder.path() / "run", {"--set", "train.lr=fast", "--set", "model.dim=0"}));
  CHECK(done.exit_code == 2);
  CHECK(done.err.find("train.lr") != std::string::npos);
  CHECK(done.err.find("model.dim") != std::string::npos);
}

TEST_CASE("data errors end with 3, name file and line, and train nothing", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  require_error(train_command(path, set("data.root=" + (folder.path() / "nowhere").string())),
                {3, {"nowhere", "not found"}});
  const fs::path copy = folder.path() / "data";
  fs::copy(small_listops(), copy, fs::copy_options::recursive);
  fs::remove(copy / "listops-1000" / "SYNTHETIC.json");  // else the changed size is found before the line
  const fs::path file = copy / "listops-1000" / "basic_val.tsv";
  std::string text = slurp(file);
  const size_t third = text.find('\n', text.find('\n') + 1) + 1;
  text.insert(third, "( ( [AVG 3 ) ] )\t3\r\n");
  std::ofstream(file, std::ios::binary) << text;
  require_error(train_command(path, set("data.root=" + copy.string())), {3, {"basic_val.tsv:3", "[AVG"}});
}

TEST_CASE("a damaged checkpoint is named and an older one takes over", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = make_run(folder.path() / "run");
  const auto before = run_bytes(path);
  flip_byte(newest_checkpoint(path) / "model.safetensors", 300);
  require_error(eval_command(newest_checkpoint(path)), {4, {"model.safetensors"}});
  fs::remove(path / "results.json");
  const Finished again = run(train_command(path, {"--set", "train.steps=24", "--set", "train.keep=3"}));
  INFO(again.err);
  REQUIRE(again.exit_code == 0);
  CHECK(again.err.find("model.safetensors") != std::string::npos);
  CHECK(run_bytes(path) == before);
}

TEST_CASE("checkpoint errors end with 4", "[cli]") {
  const TemporaryFolder folder;
  require_error(eval_command(folder.path() / "nothing"), {4, {"nothing"}});
  require_error(train_command(folder.path() / "run", {"--resume", "must"}), {4, {"--resume must"}});
  const fs::path path = make_run(folder.path() / "whole");
  for (const auto& entry : fs::directory_iterator(path / "checkpoints"))
    fs::resize_file(entry.path() / "optimizer.safetensors", 10);
  fs::remove(path / "results.json");
  require_error(train_command(path, {"--set", "train.steps=24", "--set", "train.keep=3"}),
                {4, {"checkpoint"}});
}

TEST_CASE("resume modes", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = make_run(folder.path() / "run");
  const std::vector<std::string> same = {"--set", "train.steps=24", "--set", "train.keep=3"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), same.begin(), same.end());
    return more;
  };
  require_error(train_command(path, with({"--resume", "never"})), {2, {"--resume never", "--run-dir"}});
  require_error(train_command(path, with({"--set", "train.lr=0.5"})), {2, {"train.lr", "0.5", "--run-dir"}});
  require_error(train_command(folder.path() / "other", with({"--resume", "sometimes"})),
                {2, {"--resume", "sometimes"}});

  // A checkpoint of another run continues in a new folder, and ends as that run did.
  fs::path middle;
  for (const auto& entry : fs::directory_iterator(path / "checkpoints")) {
    if (entry.path() != newest_checkpoint(path)) middle = std::max(middle, entry.path());
  }
  REQUIRE(!middle.empty());
  const fs::path branch = folder.path() / "branch";
  const Finished done = run(train_command(branch, with({"--resume", middle.string()})));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(run_bytes(branch) == run_bytes(path));

  // A start that stays the best checkpoint of the new run is there to be scored at its end.
  const fs::path from_end = folder.path() / "from_end";
  const Finished scored = run(train_command(from_end, with({"--resume", path.string()})));
  INFO(scored.err);
  REQUIRE(scored.exit_code == 0);
  CHECK(run_bytes(from_end) == run_bytes(path));
}

TEST_CASE("a results file that is not whole is made again from the checkpoints", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = make_run(folder.path() / "run");
  const Json before = Json::parse(slurp(path / "results.json"));
  for (const char* text : {"[]", "{\"steps\": 24", "{\"steps\": 24}"}) {
    std::ofstream(path / "results.json") << text;
    const Finished again = run(train_command(path, {"--set", "train.steps=24", "--set", "train.keep=3"}));
    INFO(again.err);
    REQUIRE(again.exit_code == 0);
    const Json after = Json::parse(slurp(path / "results.json"));
    CHECK(after.at("test") == before.at("test"));
    CHECK(after.at("val") == before.at("val"));
  }
}

TEST_CASE("output that cannot be written is an error, and no device is replaced by a file", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = make_run(folder.path() / "run");
  require_error(eval_command(path, {"--predictions", (folder.path() / "none" / "p.tsv").string()}),
                {2, {"--predictions", "none"}});
  require_error(eval_command(path, {"--predictions", folder.path().string()}), {2, {"is a folder"}});
  const fs::path link = folder.path() / "link";
  fs::create_symlink(folder.path() / "target.tsv", link);
  REQUIRE(run(eval_command(path, {"--predictions", link.string()})).exit_code == 0);
  CHECK(fs::is_symlink(link));
  CHECK(slurp(folder.path() / "target.tsv").rfind("row\tlabel\tprediction\t", 0) == 0);
  Command full = eval_command(path);
  full.stdout_path = "/dev/full";
  const Finished done = run(full);
  CHECK(done.exit_code == 5);
  CHECK(done.err.find("standard output") != std::string::npos);
}

TEST_CASE("lotformer-eval says when the data are not those of the run, and makes none", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = make_run(folder.path() / "run");
  CHECK(Json::parse(run(eval_command(path)).out).at("same_data") == true);
  const fs::path other = folder.path() / "other";
  REQUIRE(
      run({.program = "lotformer-data",
           .arguments = {"generate", "--task",       "listops", "--root",       other.string(), "--seed",
                         "9",        "--train",      "50",      "--val",        "20",           "--test",
                         "20",       "--min-length", "5",       "--max-length", "100",          "--max-depth",
                         "3",        "--max-args",   "4"}})
          .exit_code == 0);
  const Finished elsewhere = run(eval_command(path, {"--set", "data.root=" + other.string()}));
  REQUIRE(elsewhere.exit_code == 0);
  CHECK(Json::parse(elsewhere.out).at("same_data") == false);
  CHECK(elsewhere.err.find("not the one of the run") != std::string::npos);
  const fs::path empty = folder.path() / "empty";
  require_error(
      eval_command(path, {"--set", "data.root=" + empty.string(), "--set", "data.generate_missing=true"}),
      {3, {"not found"}});
  CHECK_FALSE(fs::exists(empty));
}

TEST_CASE("a disk that fills up ends with 5 and keeps what was whole", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const std::vector<std::string> wide = {"--set", "train.steps=24", "--set", "model.dim=64"};
  Command command = train_command(path, wide);
  command.file_size_limit = 40000;  // smaller than a checkpoint's tensors, larger than the log
  require_error(command, {5, {"write failed"}});
  for (const auto& entry : fs::recursive_directory_iterator(path))
    CHECK(entry.path().filename().string().rfind("step-", 0) != 0);
  REQUIRE(run(train_command(path, wide)).exit_code == 0);
}

/// A run whose weights grow beyond all bounds.
Command wild_command(const fs::path& path, std::vector<std::string> more = {}) {
  for (const char* setting : {"train.lr=1000", "train.weight_decay=1000", "train.warmup_steps=0",
                              "train.clip=0", "train.checkpoint_every=1"})
    more.insert(more.begin(), {"--set", setting});
  return train_command(path, more);
}

TEST_CASE("non-finite numbers end with 6 and never reach a checkpoint", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  require_error(wild_command(path), {6, {"step ", "rows of that batch", "train.on_nonfinite=rollback"}});
  if (!fs::exists(path / "checkpoints") || fs::is_empty(path / "checkpoints")) return;
  const Finished evaluated = run(eval_command(newest_checkpoint(path)));
  CHECK((evaluated.exit_code == 0 || evaluated.exit_code == 6));
}

TEST_CASE("a run that blows up goes on by itself when it is told to, and results say so", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  require_error(wild_command(path, set("train.on_nonfinite=skip")), {6, {"train.on_nonfinite=rollback"}});
  require_error(
      wild_command(path, {"--set", "train.on_nonfinite=rollback", "--set", "train.nonfinite_limit=1"}),
      {6, {"after 1 rollback (train.nonfinite_limit 1)"}});
  // From the beginning: the rate has to fall before the weights have grown.
  const Finished done = run(wild_command(
      folder.path() / "again", {"--set", "train.on_nonfinite=rollback", "--set", "train.rollback_lr=1e-7",
                                "--set", "train.checkpoint_every=100"}));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(done.err.find("Rolled back to step 0 (1 of at most 3)") != std::string::npos);
  CHECK(done.out.find("1 rollback after non-finite numbers") != std::string::npos);
  const Json results = Json::parse(slurp(folder.path() / "again/results.json"));
  CHECK(results.at("nonfinite").at("rollbacks").size() == 1);
}

TEST_CASE("too little memory ends with 7", "[cli]") {
  const TemporaryFolder folder;
  Command command = train_command(folder.path() / "run", {"--set", "model.dim=16384", "--set",
                                                          "model.heads=1", "--set", "model.layers=4"});
  command.memory_limit = int64_t{6} << 30;
  require_error(
      command,
      {7, {"can't allocate memory: ", " bytes on the CPU, where tensors held ", "train.microbatch=auto"}});
}

TEST_CASE("a device that is not there ends with 8", "[cli]") {
  const TemporaryFolder folder;
  require_error(train_command(folder.path() / "run", {"--device", "cuda:63"}), {8, {"cuda"}});
}

TEST_CASE("two trainers never share a run folder", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  Process first(train_command(path, set("train.steps=100000")));
  while (first.running() && slurp(path / "metrics.jsonl").empty()) {
  }
  require_error(train_command(path, set("train.steps=100000")), {2, {path.string()}});
}

TEST_CASE("dry run and printing leave nothing behind", "[cli]") {
  const TemporaryFolder folder;
  Command dry = train_command(folder.path() / "run", {"--dry-run", "--json"});
  dry.directory = folder.path();
  const Finished done = run(dry);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  REQUIRE(is_one_line(done.out));
  CHECK(Json::parse(done.out).at("parameters").get<int64_t>() > 0);
  CHECK(Json::parse(done.out).at("peak_memory_bytes").get<int64_t>() > 0);
  CHECK(fs::is_empty(folder.path()));

  const Finished printed = run(train_command(folder.path() / "run", {"--print-config"}));
  REQUIRE(printed.exit_code == 0);
  std::ofstream(folder.path() / "printed.yaml") << printed.out;
  const Finished again =
      run({.program = "lotformer-train",
           .arguments = {"--config", (folder.path() / "printed.yaml").string(), "--print-config"}});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  const Finished help = run({.program = "lotformer-train", .arguments = {"--help-config"}});
  CHECK(help.exit_code == 0);
  for (const char* key : {"half_iterations", "warmup_steps", "generate_missing"})
    CHECK(help.out.find(key) != std::string::npos);
}
