// SPDX-License-Identifier: MIT
// Variants of LOTFormer through the executables: names in records, ranks that adapt, plans in files.
#include <algorithm>
#include <cmath>
#include <set>

#include "cli/support.h"
#include "lotformer/core/error.h"
#include "lotformer/core/safetensors.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> with_sets(const std::vector<std::string>& assignments) {
  std::vector<std::string> arguments;
  for (const std::string& assignment : assignments) {
    arguments.push_back("--set");
    arguments.push_back(assignment);
  }
  return arguments;
}

Command adaptive_command(const fs::path& path) {
  return train_command(
      path, with_sets({"model.attention.adaptive_rank.every=7", "model.attention.adaptive_rank.min=2",
                       "model.attention.adaptive_rank.max=8", "model.attention.adaptive_rank.budget=0.004",
                       "model.attention.pivots=6", "model.attention.pivot_init=unit_score", "model.layers=2",
                       "train.checkpoint_every=10", "train.keep=100"}));
}

std::vector<int64_t> ranks(const fs::path& run_folder) {
  std::vector<int64_t> found;
  for (const Json& line : read_lines(run_folder / "metrics.jsonl")) {
    if (line.at("split") != "rank") continue;
    for (const auto& [layer, numbers] : line.at("layers").items()) {
      found.push_back(numbers.at("pivots").get<int64_t>());
      CHECK(numbers.at("singular_values").size() >= 2);
      CHECK(numbers.at("singular_values")[0].get<double>() == Catch::Approx(1).epsilon(1e-3));
    }
  }
  return found;
}

}  // namespace

TEST_CASE("a run whose rank adapts continues from any checkpoint to the same bytes", "[cli]") {
  const TemporaryFolder folder;
  const fs::path whole = folder.path() / "whole";
  const Finished done = run(adaptive_command(whole));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const std::vector<int64_t> found = ranks(whole);
  REQUIRE(found.size() == 16);  // eight surveys of two layers
  CHECK(*std::min_element(found.begin(), found.end()) >= 2);
  CHECK(*std::max_element(found.begin(), found.end()) <= 8);
  CHECK(std::any_of(found.begin(), found.end(), [&](int64_t rank) { return rank != 6; }));

  // As if the process had been killed behind step 30: three surveys are in the checkpoint, five are to come.
  const fs::path cut = folder.path() / "cut";
  fs::copy(whole, cut, fs::copy_options::recursive);
  fs::remove(cut / "results.json");
  for (const auto& entry : fs::directory_iterator(cut / "checkpoints")) {
    if (entry.path().filename().string() > "step-00000030") fs::remove_all(entry.path());
  }
  const Finished resumed = run(adaptive_command(cut));
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK(resumed.err.find("resuming at step 30") != std::string::npos);
  const auto bytes = run_bytes(cut);
  for (const auto& [name, expected] : run_bytes(whole)) {
    INFO(name);
    CHECK(bytes.at(name) == expected);
  }
  // lotformer-eval takes the number of pivots from the checkpoint.
  const Finished scored = run(eval_command(whole, {"--split", "test", "--checkpoint", "last"}));
  INFO(scored.err);
  REQUIRE(scored.exit_code == 0);
  const Json results = Json::parse(slurp(whole / "results.json"));
  CHECK(Json::parse(scored.out).at("loss").get<double>() ==
        results.at("last").at("test").at("loss").get<double>());
}

TEST_CASE("variants that do not hold both marginals have their own names in records", "[cli]") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::vector<std::string>, std::string>> variants = {
      {{"model.attention.marginals=none"}, "lotformer-none"},
      {{"model.attention.relaxation=0.5", "model.attention.relaxation_learned=true"}, "lotformer-relaxed"},
      {{"model.attention.marginals=key", "model.attention.qk_norm=l2"}, "lotformer-key"}};
  for (const auto& [assignments, name] : variants) {
    INFO(name);
    std::vector<std::string> arguments = with_sets(assignments);
    arguments.insert(arguments.end(), {"--set", "train.steps=6", "--json"});
    const Finished done = run(train_command(folder.path() / name, arguments));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    CHECK(Json::parse(done.out).at("attention") == name);
    CHECK(done.err.find("attention " + name + ",") != std::string::npos);
    const Finished scored = run(eval_command(folder.path() / name));
    REQUIRE(scored.exit_code == 0);
    CHECK(Json::parse(scored.out).at("run").at("attention") == name);
  }
  Command unnamed = train_command("unused", with_sets({"model.attention.marginals=query", "train.steps=1"}));
  const auto at = std::find(unnamed.arguments.begin(), unnamed.arguments.end(), "--run-dir");
  unnamed.arguments.erase(at, at + 2);
  unnamed.directory = folder.path();
  REQUIRE(run(unnamed).exit_code == 0);
  const fs::path made = fs::directory_iterator(folder.path() / "runs")->path();
  CHECK(made.filename().string().rfind("listops-lotformer-query-s0-", 0) == 0);

  const Finished refused =
      run(train_command(folder.path() / "refused",
                        with_sets({"model.attention.marginals=none", "model.attention.mode=truncated"})));
  CHECK(refused.exit_code == static_cast<int>(ErrorKind::usage));
  CHECK(refused.err.find("model.attention.") != std::string::npos);
  CHECK(refused.err.find("marginals none needs mode exact") != std::string::npos);
}

TEST_CASE("lotformer-eval --plans writes the transport plans of chosen examples", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  REQUIRE(run(train_command(path, with_sets({"train.steps=6", "model.layers=2"}))).exit_code == 0);
  const fs::path json_file = folder.path() / "plans.json", tensor_file = folder.path() / "plans.safetensors";
  const Finished done =
      run(eval_command(path, {"--plans", json_file.string(), "--plan-rows", "3,0", "--plan-layers", "1"}));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const Json plans = Json::parse(slurp(json_file));
  CHECK(plans.at("about").at("run").at("attention") == "lotformer");
  CHECK(plans.at("about").at("split") == "test");
  REQUIRE(plans.at("examples").size() == 2);
  const Json& example = plans.at("examples")[0];
  CHECK(example.at("row") == 3);
  CHECK(example.at("prediction").is_number_integer());
  const Json& sequence = example.at("sequences")[0];
  const size_t length = sequence.at("ids").size();
  REQUIRE(sequence.at("plans").size() == 2);  // one layer, two heads
  for (const Json& plan : sequence.at("plans")) {
    CHECK(plan.at("layer") == 1);
    for (const char* side : {"query", "key"}) {
      REQUIRE(plan.at(side).size() == 4);
      for (const Json& pivot : plan.at(side)) {
        REQUIRE(pivot.size() == length);
        double mass = 0;
        for (const Json& entry : pivot) mass += entry.get<double>();
        CHECK(mass == Catch::Approx(0.25).epsilon(1e-4));
      }
    }
  }
  const Finished tensors =
      run(eval_command(path, {"--plans", tensor_file.string(), "--plan-rows", "3", "--plan-heads", "1"}));
  INFO(tensors.err);
  REQUIRE(tensors.exit_code == 0);
  const SafetensorsFile file(tensor_file, ErrorKind::data);
  CHECK(file.metadata().at("format") == "lotformer-plans-1");
  CHECK(file.tensor("row3.sequence0.layer1.key").shape ==
        std::vector<int64_t>{1, 4, static_cast<int64_t>(length)});
  CHECK(file.tensor("row3.sequence0.ids").shape == std::vector<int64_t>{static_cast<int64_t>(length)});

  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const Finished failed = run(eval_command(path, arguments));
    CHECK(failed.exit_code == static_cast<int>(ErrorKind::usage));
    INFO(failed.err);
    CHECK(failed.err.find(message) != std::string::npos);
  };
  refused({"--plans", (folder.path() / "plans.txt").string()}, "must end in .json or .safetensors");
  refused({"--plans", json_file.string(), "--plan-rows", "50"}, "--plan-rows: 50");
  refused({"--plans", json_file.string(), "--plan-heads", "2"}, "--plan-heads: 2");
  refused({"--plans", json_file.string(), "--plan-layers", "1,1"}, "--plan-layers: 1 is named twice");
  refused({"--plan-rows", "1"}, "--plans FILE");
}

TEST_CASE("lotformer-eval --plans leaves padding out and keeps both documents of a pair", "[cli]") {
  const TemporaryFolder folder;
  const std::string data = (folder.path() / "data").string();
  REQUIRE(run({.program = "lotformer-data",
               .arguments = {"generate", "--task", "retrieval", "--root", data, "--train", "40", "--val",
                             "10", "--test", "10", "--min-bytes", "30", "--max-bytes", "90"}})
              .exit_code == 0);
  std::vector<std::string> arguments = {"--config",  "lra/smoke/retrieval.yaml",      "--device", "cpu",
                                        "--run-dir", (folder.path() / "run").string()};
  for (const std::string& argument :
       with_sets({"data.root=" + data, "data.max_length=100", "data.pad_to=100", "train.steps=1",
                  "train.warmup_steps=0", "train.batch_size=4", "model.layers=1", "model.dim=16",
                  "model.heads=2", "model.ff_dim=16", "model.attention.pivots=3", "train.threads=1"}))
    arguments.push_back(argument);
  const Finished trained = run({.program = "lotformer-train", .arguments = arguments});
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  const fs::path file = folder.path() / "plans.json";
  const Finished done =
      run(eval_command(folder.path() / "run", {"--plans", file.string(), "--plan-rows", "1,4"}));
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const Json plans = Json::parse(slurp(file));
  std::set<size_t> lengths;
  for (const Json& example : plans.at("examples")) {
    REQUIRE(example.at("sequences").size() == 2);
    for (const Json& sequence : example.at("sequences")) {
      const size_t length = sequence.at("ids").size();
      lengths.insert(length);
      CHECK(length < 100);  // of the 100 that data.pad_to makes of it
      for (const Json& id : sequence.at("ids")) CHECK(id.get<int>() > 0);
      for (const Json& plan : sequence.at("plans")) {
        for (const char* side : {"query", "key"}) {
          std::vector<double> of_token(length);
          for (const Json& pivot : plan.at(side)) {
            REQUIRE(pivot.size() == length);
            for (size_t i = 0; i < length; ++i) of_token[i] += pivot[i].get<double>();
          }
          for (const double mass : of_token)
            CHECK(mass * static_cast<double>(length) == Catch::Approx(1).epsilon(1e-4));
        }
      }
    }
  }
  CHECK(lengths.size() > 1);
}

TEST_CASE("lotformer-eval --plans: every mode has plans, other modules say that they have none", "[cli]") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "plans.json";
  const std::vector<std::string> variants = {"mode=truncated", "mode=reference", "marginals=none",
                                             "marginals=key", "relaxation=1"};
  for (const std::string& variant : variants) {
    INFO(variant);
    const fs::path path = folder.path() / variant;
    const auto settings = with_sets({"train.steps=2", "data.pad_to=100", "model.attention." + variant});
    REQUIRE(run(train_command(path, settings)).exit_code == 0);
    const Finished done = run(eval_command(path, {"--plans", file.string()}));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    const Json plans = Json::parse(slurp(file));
    const Json& sequence = plans.at("examples").at(0).at("sequences").at(0);
    const size_t columns = sequence.at("plans")[0].at("query")[0].size();
    CHECK(columns == sequence.at("ids").size());
    CHECK((columns == 100) == (variant == "mode=reference"));  // where padding has mass
  }
  const fs::path path = folder.path() / "softmax";
  REQUIRE(run(train_command(path, with_sets({"train.steps=2", "model.attention.kind=softmax"}))).exit_code ==
          0);
  const Finished failed = run(eval_command(path, {"--plans", file.string()}));
  CHECK(failed.exit_code == static_cast<int>(ErrorKind::usage));
  CHECK(failed.err.find("softmax has no transport plans") != std::string::npos);
}
