// SPDX-License-Identifier: MIT
// Transport that has not converged is never hidden.
#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::vector<std::string> sharp(const std::string& kind, const std::string& limit) {
  return {"--set", "model.attention.kind=" + kind,
          "--set", "model.attention.mode=exact",
          "--set", "model.attention.epsilon=0.005",
          "--set", "model.attention." + limit,
          "--set", "train.steps=20",
          "--set", "train.eval_every=10"};
}

}  // namespace

TEST_CASE("problems that end at the limit of the solver are counted, recorded and warned about", "[cli]") {
  struct Case {
    const char *kind, *limit;
  };
  for (const Case& c : {Case{"lotformer", "max_passes=1"}, {"sinkformer", "max_half_iterations=3"}}) {
    INFO(c.kind);
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run";
    const Finished done = run(train_command(path, sharp(c.kind, c.limit)));
    INFO(done.err);
    REQUIRE(done.exit_code == 0);
    CHECK(count_of(done.err, "since the line before step") == 1);  // once a run
    CHECK_THAT(done.err, contains_text("transport problems ended above their tolerance (largest residual "));
    CHECK_THAT(done.out, contains_text("transport problems ended above their tolerance"));
    for (const Json& line : read_lines(path / "metrics.jsonl")) {
      const Json& transport = line.at("transport");
      CHECK(transport.at("problems").get<int64_t>() > 0);
      CHECK(transport.at("unconverged").get<int64_t>() <= transport.at("problems").get<int64_t>());
      if (line.at("split") == "train") continue;
      CHECK(transport.at("unconverged").get<int64_t>() > transport.at("problems").get<int64_t>() / 100);
      CHECK(transport.at("residual_max").get<double>() > 1e-6);
    }
    const Json results = Json::parse(slurp(path / "results.json"));
    for (const char* split : {"val", "test"})
      CHECK(results.at(split).at("transport").at("unconverged").get<int64_t>() > 0);
    const Finished scored = run(eval_command(path));
    REQUIRE(scored.exit_code == 0);
    CHECK(Json::parse(scored.out).at("transport") == results.at("test").at("transport"));
    CHECK_THAT(scored.err, contains_text("test: "));
    const Finished text = run({.program = "lotformer-eval", .arguments = {path.string(), "--device", "cpu"}});
    CHECK_THAT(text.out, contains_text("transport problems ended above their tolerance"));
  }
}

TEST_CASE("--plans says how the problems behind its plans ended; where all converged nothing is printed",
          "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run", plans = folder.path() / "plans.json";
  const Finished done = run(train_command(path, {"--set", "train.steps=4"}));
  REQUIRE(done.exit_code == 0);
  CHECK(done.err.find("ended above") == std::string::npos);
  CHECK(done.out.find("ended above") == std::string::npos);
  REQUIRE(run(eval_command(path, {"--plans", plans.string(), "--plan-rows", "0,3"})).exit_code == 0);
  const Json written = Json::parse(slurp(plans));
  for (const Json& example : written.at("examples")) {
    CHECK(example.at("transport").at("problems") == 4);  // two sides, two heads, one layer
    CHECK(example.at("transport").at("unconverged") == 0);
  }
  const Finished sharper =
      run(eval_command(path, {"--plans", plans.string(), "--set", "model.attention.max_passes=1", "--set",
                              "model.attention.epsilon=0.005"}));
  INFO(sharper.err);
  REQUIRE(sharper.exit_code == 0);
  CHECK(Json::parse(slurp(plans)).at("examples").at(0).at("transport").at("unconverged").get<int64_t>() > 0);
  CHECK_THAT(sharper.err, contains_text("--plans, row 0: "));
}
