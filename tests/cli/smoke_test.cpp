// SPDX-License-Identifier: MIT
// The smoke configurations as a user follows them: the data by the command that stands in the file's head,
// 100 steps, a score of the checkpoint. And the published configurations: one batch at the published size
// (--dry-run) on a small set of full-size examples.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <sstream>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

/// Arguments of the `lotformer-data generate` that the comments of a configuration name, with another --root.
std::vector<std::string> documented_generate(const fs::path& config, const fs::path& root) {
  std::istringstream lines(slurp(config));
  std::string command;
  for (std::string line; std::getline(lines, line);) {
    if (command.empty() && line.find("lotformer-data generate") == std::string::npos) continue;
    const size_t begin = line.find_first_not_of("# ");
    REQUIRE(begin != std::string::npos);
    command += line.substr(begin) + " ";
    if (line.back() != '\\') break;
    command.resize(command.size() - 2);  // the backslash
  }
  std::istringstream words(command);
  std::vector<std::string> arguments;
  for (std::string word; words >> word;) arguments.push_back(word);
  REQUIRE(arguments.size() > 4);
  const auto place = std::find(arguments.begin(), arguments.end(), "--root");
  REQUIRE(place + 1 < arguments.end());
  *(place + 1) = root.string();
  return {arguments.begin() + 1, arguments.end()};
}

void generate(const std::vector<std::string>& arguments) {
  const Finished made = run({.program = "lotformer-data", .arguments = arguments});
  INFO(made.err);
  REQUIRE(made.exit_code == 0);
}

fs::path config_file(const std::string& name) {
  return fs::path(LOTFORMER_SOURCE_DIR) / "configs/lra" / name;
}

constexpr int64_t kSteps = 100;

void train(const std::string& task, const fs::path& data, const fs::path& run_folder) {
  const Finished done = run({.program = "lotformer-train",
                             .arguments = {"--config",
                                           config_file("smoke/" + task + ".yaml").string(),
                                           "--device",
                                           "cpu",
                                           "--json",
                                           "--run-dir",
                                           run_folder,
                                           "--set",
                                           "data.root=" + data.string(),
                                           "--set",
                                           "train.steps=100",
                                           "--set",
                                           "train.log_every=1",
                                           "--set",
                                           "train.warmup_steps=10",
                                           "--set",
                                           "train.eval_every=50",
                                           "--set",
                                           "train.checkpoint_every=50",
                                           "--set",
                                           "eval.max_examples=64"}});
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(Json::parse(done.out) == Json::parse(slurp(run_folder / "results.json")));
}

/// A line for each of the 100 steps, scores at 50 and 100, every number finite (JSON has no other), a loss
/// that no class can be.
void check_metrics(const fs::path& run_folder, double chance_loss) {
  int64_t step = 0, scores = 0;
  double first = 0, last = 0;  // means of ten steps
  for (const Json& line : read_lines(run_folder / "metrics.jsonl")) {
    const auto loss = line.at("loss").get<double>();
    CHECK(loss > 0);
    CHECK(line.at("accuracy").get<double>() >= 0);
    if (line.at("split") == "val") ++scores;
    if (line.at("split") != "train") continue;
    CHECK(line.at("step") == ++step);
    CHECK(line.at("grad_norm").get<double>() > 0);
    if (step <= 10) first += loss / 10;
    if (step > kSteps - 10) last += loss / 10;
  }
  CHECK(step == kSteps);
  CHECK(scores == 2);
  UNSCOPED_INFO("mean loss of the first and the last ten steps: " << first << ", " << last << ", by chance "
                                                                  << chance_loss);
  CHECK(first < 1.5 * chance_loss);  // it begins as one that knows nothing
  CHECK(last < 1.1 * chance_loss);   // and does not run away; what is learned is the learning tests' business
}

void check_results(const fs::path& run_folder, const std::string& task, const std::string& origin) {
  const Json results = Json::parse(slurp(run_folder / "results.json"));
  CHECK(results.at("task") == task);
  // ListOps has keys with learned masses, and a name that says so.
  CHECK(results.at("attention") == (task == "listops" ? "lotformer-weighted" : "lotformer"));
  CHECK(results.at("data_origin") == origin);
  CHECK(results.at("data_provenance")
            .at("generator")
            .get<std::string>()
            .starts_with("lotformer-data generate --task "));
  CHECK(results.at("val_is_test") == (task == "text"));
  CHECK(results.at("steps") == kSteps);
  CHECK(results.at("last").at("test").at("step") == kSteps);
  CHECK(slurp(run_folder / "config.yaml").find("task: " + task) != std::string::npos);
}

/// The newest checkpoint by itself gives the number that the run logged, and the origin of the data goes with
/// it.
void check_evaluation(const fs::path& run_folder, const std::string& origin) {
  const Json results = Json::parse(slurp(run_folder / "results.json"));
  const Finished done = run(eval_command(newest_checkpoint(run_folder)));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const Json evaluation = Json::parse(done.out), &logged = results.at("last").at("test");
  for (const char* key : {"accuracy", "loss", "examples", "step"})
    CHECK(evaluation.at(key) == logged.at(key));
  CHECK(evaluation.at("same_data") == true);
  CHECK(evaluation.at("logged").at("accuracy") == logged.at("accuracy"));
  CHECK(evaluation.at("run").at("data_origin") == origin);
  for (const std::string name : evaluation.at("metrics")) {
    INFO(name);
    const bool by = name.starts_with("accuracy by ");
    CHECK((by ? evaluation.at("by").contains(name.substr(12))
              : evaluation.contains(name == "recall by class" ? "classes" : name)));
  }
  int64_t examples = 0;
  for (const Json& row : evaluation.at("classes")) examples += row.at("examples").get<int64_t>();
  CHECK(examples == logged.at("examples").get<int64_t>());
}

struct Smoke {
  /// Name below configs/lra.
  std::string config;
  /// As in the results.
  std::string task;
  std::string origin;
  /// Of equally likely classes.
  double chance_loss;
  /// `generate` for the published configuration: few examples of full size.
  std::vector<std::string> full;
};

void follow(const Smoke& smoke) {
  const TemporaryFolder folder;
  const fs::path data = folder.path() / "data", run_folder = folder.path() / "run";
  generate(documented_generate(config_file("smoke/" + smoke.config + ".yaml"), data));
  train(smoke.config, data, run_folder);
  check_metrics(run_folder, smoke.chance_loss);
  check_results(run_folder, smoke.task, smoke.origin);
  check_evaluation(run_folder, smoke.origin);
}

void dry_run(const Smoke& smoke) {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = {"generate", "--task", smoke.task, "--root", folder.path() / "data"};
  arguments.insert(arguments.end(), smoke.full.begin(), smoke.full.end());
  generate(arguments);
  Command dry{.program = "lotformer-train",
              .arguments = {"--config", config_file(smoke.config + ".yaml").string(), "--device", "cpu",
                            "--dry-run", "--json", "--set", "data.root=" + (folder.path() / "data").string()},
              .directory = folder.path()};
  if (smoke.task == "listops")  // else the small set is refused: the configuration makes the official one
    dry.arguments.insert(dry.arguments.end(), {"--set", "data.generate_missing=false"});
  const Finished done = run(dry);
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  REQUIRE(is_one_line(done.out));
  const Json result = Json::parse(done.out);
  CHECK(result.at("dry_run") == true);
  CHECK(result.at("task") == smoke.task);
  // ListOps with the official lengths, depth and arguments is another sample of the same distribution; the
  // short trees of its smoke set are not.
  CHECK(result.at("data_origin") == (smoke.task == "listops" ? "generated" : smoke.origin));
  CHECK(result.at("parameters").get<int64_t>() > 100'000);
  CHECK(result.at("peak_memory_bytes").get<int64_t>() > 0);
  CHECK(result.at("loss").get<double>() == Catch::Approx(smoke.chance_loss).epsilon(0.25));
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);  // the data, no run folder
}

const Smoke kListops = {
    "listops", "listops", "synthetic", std::log(10.0), {"--train", "64", "--val", "8", "--test", "8"}};
const Smoke kText = {"text", "text", "synthetic", std::log(2.0), {"--train", "64", "--test", "8"}};
const Smoke kRetrieval = {
    "retrieval", "retrieval", "synthetic", std::log(2.0), {"--train", "64", "--val", "8", "--test", "8"}};
const Smoke kImage = {
    "image", "image", "synthetic", std::log(10.0), {"--train", "90", "--val", "10", "--test", "10"}};
const Smoke kPathfinder = {"pathfinder", "pathfinder32", "synthetic", std::log(2.0), {"--train", "160"}};
const Smoke kPathx = {"pathx", "pathx", "synthetic", std::log(2.0), {"--train", "40"}};

}  // namespace

TEST_CASE("smoke: ListOps", "[cli]") {
  follow(kListops);
}
TEST_CASE("smoke: text", "[cli]") {
  follow(kText);
}
TEST_CASE("smoke: retrieval", "[cli]") {
  follow(kRetrieval);
}
TEST_CASE("smoke: image", "[cli]") {
  follow(kImage);
}
TEST_CASE("smoke: Pathfinder", "[cli]") {
  follow(kPathfinder);
}
TEST_CASE("smoke: Path-X", "[cli]") {
  follow(kPathx);
}

TEST_CASE("smoke: every smoke configuration has a case, and every published one", "[cli]") {
  for (const char* folder : {"smoke", "."}) {
    int64_t files = 0;
    for (const auto& entry : fs::directory_iterator(config_file(folder))) {
      const fs::path& path = entry.path();
      files += path.extension() == ".yaml" && path.filename() != "base.yaml" ? 1 : 0;
    }
    CHECK(files == 6);
  }
}

TEST_CASE("dry run at published size: ListOps", "[cli][dry_run]") {
  dry_run(kListops);
}
TEST_CASE("dry run at published size: text", "[cli][dry_run]") {
  dry_run(kText);
}
TEST_CASE("dry run at published size: retrieval", "[cli][dry_run]") {
  dry_run(kRetrieval);
}
TEST_CASE("dry run at published size: image", "[cli][dry_run]") {
  dry_run(kImage);
}
TEST_CASE("dry run at published size: Pathfinder", "[cli][dry_run]") {
  dry_run(kPathfinder);
}
TEST_CASE("dry run at published size: Path-X", "[cli][dry_run]") {
  dry_run(kPathx);
}
