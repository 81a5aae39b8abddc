// SPDX-License-Identifier: MIT
// lotformer-train and lotformer-eval as a user runs them: what they write, that numbers come out again, that
// a killed run ends like one that was not.
#include <csignal>
#include <random>
#include <thread>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

/// A run that was never disturbed; the others are compared with it.
const fs::path& undisturbed() {
  static const TemporaryFolder folder;
  static const fs::path run_folder = [] {
    const fs::path path = folder.path() / "run";
    const Finished done = run(train_command(path, {"--json"}));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    REQUIRE(is_one_line(done.out));
    REQUIRE(Json::parse(done.out) == Json::parse(slurp(path / "results.json")));
    return path;
  }();
  return run_folder;
}

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void require_same_run(const fs::path& run_folder) {
  for (const auto& [name, bytes] : run_bytes(undisturbed())) {
    INFO(name);
    CHECK(run_bytes(run_folder).at(name) == bytes);
  }
  const Json a = Json::parse(slurp(undisturbed() / "results.json")),
             b = Json::parse(slurp(run_folder / "results.json"));
  for (const char* key : {"val", "test", "last", "step_chosen", "config_hash", "data_origin"})
    CHECK(a.at(key) == b.at(key));
}

}  // namespace

TEST_CASE("a run writes what its results promise", "[cli]") {
  const fs::path& path = undisturbed();
  const Json results = Json::parse(slurp(path / "results.json"));
  for (const char* key : {"val", "test"}) {
    CHECK(results.at(key).at("accuracy").get<double>() >= 0);
    CHECK(results.at(key).at("loss").get<double>() > 0);
  }
  CHECK(results.at("val").at("examples") == 60);
  CHECK(results.at("test").at("examples") == 50);
  CHECK(results.at("data_origin") == "synthetic");
  CHECK(results.at("protocol") == "default");
  CHECK(results.at("threads") == 1);
  CHECK(results.at("references").size() == 2);
  CHECK_FALSE(results.contains("max_examples"));

  int64_t train_lines = 0, val_lines = 0, test_lines = 0;
  for (const Json& line : read_lines(path / "metrics.jsonl")) {
    train_lines += line.at("split") == "train" ? 1 : 0;
    val_lines += line.at("split") == "val" ? 1 : 0;
    test_lines += line.at("split") == "test" ? 1 : 0;
    CHECK_FALSE(line.contains("seconds"));
    CHECK(line.at("data_origin") == results.at("data_origin"));
    if (line.at("split") == "train") {
      const Json& solver = line.at("solver").at("layer0");  // at the training's tolerance
      CHECK(solver.at("passes_mean").get<double>() >= 1);
      CHECK(solver.at("passes_max").get<double>() >= solver.at("passes_mean").get<double>());
      CHECK(solver.at("residual_max").get<double>() <= 1e-4);
      CHECK(solver.at("capped") == 0);
      CHECK(solver.at("query_sharpness").get<double>() > 0);
      continue;
    }
    for (const char* label : {"protocol", "val_is_test"}) CHECK(line.at(label) == results.at(label));
  }
  CHECK(train_lines == 9);  // every 7 of 60 steps, and the last
  CHECK(val_lines == 3);
  CHECK(test_lines >= 1);
  CHECK(fs::exists(path / "config.yaml"));
  CHECK(fs::exists(path / "timings.jsonl"));
}

TEST_CASE("lotformer-eval reproduces what the run logged, bit for bit", "[cli]") {
  const Json results = Json::parse(slurp(undisturbed() / "results.json"));
  struct Case {
    std::vector<std::string> arguments;
    Json expected;
  };
  for (const Case& c :
       {Case{{"--split", "val"}, results.at("val")}, Case{{"--split", "test"}, results.at("test")},
        Case{{"--split", "test", "--checkpoint", "last"}, results.at("last").at("test")}}) {
    const Finished done = run(eval_command(undisturbed(), c.arguments));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    REQUIRE(is_one_line(done.out));
    const Json evaluation = Json::parse(done.out);
    CHECK(evaluation.at("loss").get<double>() == c.expected.at("loss").get<double>());
    CHECK(evaluation.at("accuracy").get<double>() == c.expected.at("accuracy").get<double>());
    CHECK(evaluation.at("examples") == c.expected.at("examples"));
  }
}

TEST_CASE("lotformer-eval on a checkpoint folder, with predictions and its report for people", "[cli]") {
  const TemporaryFolder folder;
  const fs::path table = folder.path() / "predictions.tsv";
  const Finished done = run({.program = "lotformer-eval",
                             .arguments = {newest_checkpoint(undisturbed()).string(), "--device", "cpu",
                                           "--predictions", table.string()}});
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  for (const char* word : {"accuracy", "95 % interval", "root operator", "by length", "by depth", "recall"}) {
    INFO(word);
    CHECK(done.out.find(word) != std::string::npos);
  }
  const std::string text = slurp(table);
  CHECK(std::count(text.begin(), text.end(), '\n') == 51);
}

TEST_CASE("eval.max_examples scores rows at equal distances, since official files are sorted by class",
          "[cli]") {
  const TemporaryFolder folder;
  const fs::path all = folder.path() / "all.tsv", part = folder.path() / "part.tsv";
  REQUIRE(run(eval_command(undisturbed(), {"--predictions", all.string()})).exit_code == 0);
  const Finished done = run(eval_command(
      undisturbed(), {"--set", "eval.max_examples=4", "--predictions", part.string()}));  // of 50
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK(Json::parse(done.out).at("examples") == 4);
  // Row, label and prediction: other batches may leave other last bits in the probabilities behind them.
  const auto decisions = [](const fs::path& file) {
    std::string kept;
    int tabs = 0;
    for (const char c : slurp(file)) {
      tabs = c == '\n' ? 0 : tabs + (c == '\t' ? 1 : 0);
      if (tabs < 3) kept += c;
    }
    return kept;
  };
  const std::string lines = decisions(all), chosen = decisions(part);
  std::string expected = lines.substr(0, lines.find('\n') + 1);
  for (const std::string row : {"0", "12", "25", "37"}) {
    const size_t begin = lines.find("\n" + row + "\t") + 1;
    expected += lines.substr(begin, lines.find('\n', begin) + 1 - begin);
  }
  CHECK(chosen == expected);
}

TEST_CASE("ten kills at random moments end with the bytes of an undisturbed run", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const auto start = std::chrono::steady_clock::now();
  {
    const Finished probe = run(train_command(folder.path() / "probe"));
    REQUIRE(probe.exit_code == 0);
  }
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const unsigned seed = std::random_device{}();
  UNSCOPED_INFO("seed of the kill times: " << seed);
  std::mt19937 generator(seed);
  int kills = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    Process process(train_command(path));
    // Most of a short run is start-up: aim at the whole of it, so that start, steps, evaluations and saves
    // are all hit.
    sleep_seconds(whole * (0.3 + 0.7 * static_cast<double>(generator() % 1000) / 1000.0));
    if (process.running()) ++kills;
    process.signal(SIGKILL);
    process.wait();
  }
  UNSCOPED_INFO("killed " << kills << " times");
  CHECK(kills >= 1);
  const Finished done = run(train_command(path));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  require_same_run(path);
}

TEST_CASE("SIGTERM and SIGINT save, exit 75, and the same command continues to the same bytes", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  int interrupted = 0;
  for (const int number : {SIGTERM, SIGINT, SIGTERM}) {
    // timings.jsonl is never cut, so its growth says that this process trains.
    const size_t before = slurp(path / "timings.jsonl").size();
    Process process(train_command(path));
    while (process.running() && slurp(path / "timings.jsonl").size() == before) sleep_seconds(0.005);
    process.signal(number);
    const Finished done = process.wait();
    if (done.exit_code == 0) break;  // it was faster than the signal
    INFO(done.err);
    REQUIRE(done.exit_code == 75);
    CHECK(done.err.find("state saved") != std::string::npos);
    ++interrupted;
  }
  CHECK(interrupted >= 1);
  REQUIRE(run(train_command(path)).exit_code == 0);
  require_same_run(path);
}

TEST_CASE("a finished run says so and does nothing", "[cli]") {
  const auto before = run_bytes(undisturbed());
  const Finished again = run(train_command(undisturbed(), {"--json"}));
  CHECK(again.exit_code == 0);
  CHECK(Json::parse(again.out) == Json::parse(slurp(undisturbed() / "results.json")));
  CHECK(run_bytes(undisturbed()) == before);
}

TEST_CASE("batches made ahead, on the host or on the device, do not change a bit of a run", "[cli]") {
  const TemporaryFolder folder;
  const std::vector<std::string> common = {"--set", "train.steps=24",     "--set", "train.accumulate=3",
                                           "--set", "train.eval_every=8", "--set", "data.bucket=true"};
  const std::vector<std::pair<const char*, const char*>> ways = {
      {"0", "false"}, {"2", "auto"}, {"0", "true"}, {"5", "true"}};
  std::vector<std::map<std::string, std::string>> bytes;
  for (const auto& [prefetch, on_device] : ways) {
    const fs::path path = folder.path() / (std::string(prefetch) + on_device);
    std::vector<std::string> arguments = common;
    arguments.insert(arguments.end(), {"--set", std::string("data.prefetch=") + prefetch, "--set",
                                       std::string("data.on_device=") + on_device});
    const Finished done = run(train_command(path, arguments));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    CHECK((done.err.find("live on the device") != std::string::npos) == (on_device == std::string("true")));
    bytes.push_back(run_bytes(path));
    Json state = Json::parse(bytes.back().at("state.json"));
    state.erase("config");  // names the way
    bytes.back()["state.json"] = state.dump();
  }
  for (size_t i = 1; i < bytes.size(); ++i) {
    INFO("prefetch " << ways[i].first << ", on_device " << ways[i].second);
    CHECK(bytes[i] == bytes[0]);
  }
}

TEST_CASE("gradient accumulation in unequal chunks ends near the whole batch", "[cli]") {
  const TemporaryFolder folder;
  const std::vector<std::string> exact = {"--set",         "model.dropout=0", "--set",
                                          "train.steps=5", "--set",           "train.warmup_steps=0"};
  std::vector<double> losses;
  for (const char* chunks : {"1", "3"}) {
    std::vector<std::string> arguments = exact;
    arguments.insert(arguments.end(), {"--json", "--set", std::string("train.accumulate=") + chunks});
    const Finished done = run(train_command(folder.path() / chunks, arguments));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    losses.push_back(Json::parse(done.out).at("val").at("loss").get<double>());
  }
  CHECK(losses[0] == Catch::Approx(losses[1]).epsilon(1e-4));
}

TEST_CASE("diagnostics are logged a layer at a time and change nothing else", "[cli]") {
  const TemporaryFolder folder;
  const Finished plain = run(train_command(folder.path() / "plain"));
  const Finished probed =
      run(train_command(folder.path() / "probed", {"--set", "train.diagnostics_every=20"}));
  INFO(probed.err);
  REQUIRE(plain.exit_code == 0);
  REQUIRE(probed.exit_code == 0);
  std::vector<Json> rest, diagnostics;
  for (const Json& line : read_lines(folder.path() / "probed/metrics.jsonl"))
    (line.at("split") == "diagnostics" ? diagnostics : rest).push_back(line);
  CHECK(rest == read_lines(folder.path() / "plain/metrics.jsonl"));
  REQUIRE(diagnostics.size() == 3);
  const Json layer = diagnostics.back().at("layers").at("layer0");
  CHECK(layer.at("row_error").get<double>() < 1e-4);
  CHECK(layer.at("entropy").get<double>() <= layer.at("entropy_limit").get<double>() + 1e-6);
  CHECK(layer.at("effective_rank").get<double>() >= 1);
  CHECK(layer.at("passes_mean").get<double>() >= 1);
  CHECK(layer.at("singular_values").size() == 4);  // of the four pivots
}

TEST_CASE("bf16 and fp16 autocast train on the CPU", "[cli]") {
  const TemporaryFolder folder;
  for (const char* precision : {"bf16", "fp16"}) {
    const Finished done = run(train_command(
        folder.path() / precision, {"--json", "--set", std::string("train.precision=") + precision}));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    CHECK(Json::parse(done.out).at("precision") == precision);
    const auto lines = read_lines(folder.path() / precision / "metrics.jsonl");
    CHECK(lines.back().at("loss").get<double>() < 3.0);
  }
}
