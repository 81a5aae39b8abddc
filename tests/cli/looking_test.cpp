// SPDX-License-Identifier: MIT
// What a run leaves for people to look at: files for lotformer-report, and for TensorBoard.
#include <algorithm>
#include <array>
#include <cmath>
#include <regex>
#include <sstream>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

Command short_run(const fs::path& path, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--set", "train.steps=8", "--set", "train.eval_every=4"});
  return train_command(path, more);
}

}  // namespace

TEST_CASE("lotformer-eval --for-report, then lotformer-report: errors and plans of a real run", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  const Finished trained = must_run(short_run(path));
  CHECK_THAT(trained.err, contains_text("lotformer-report " + path.string()));
  must_run(eval_command(path, {"--for-report"}));
  const std::string header = slurp(path / "evaluation/predictions.tsv").substr(0, 100);
  CHECK(header.rfind("row\tlabel\tprediction\tlength\tdepth\tp:0\tp:1\t", 0) == 0);
  const Json plans = Json::parse(slurp(path / "evaluation/plans.json"));
  const Json& sequence = plans.at("examples").at(0).at("sequences").at(0);
  CHECK(sequence.at("tokens").size() == sequence.at("ids").size());
  CHECK(sequence.at("tokens").at(0).get<std::string>().front() == '[');
  CHECK(sequence.at("plans").size() == 2);
  const fs::path out = folder.path() / "out";
  must_run(
      {.program = "lotformer-report", .arguments = {path.string(), "--out", out.string(), "--no-pictures"}});
  const std::string page = slurp(out / "index.html");
  const size_t begin = page.find("id=\"data\">") + 10;
  const Json data = Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  CHECK(data.at("runs").at(0).at("notes").empty());
  CHECK(data.at("runs").at(0).at("predictions").at("examples") == 50);
  CHECK(data.at("runs").at(0).at("predictions").at("by").size() == 2);
  CHECK(data.at("runs").at(0).at("plans").at(0).at("sequences").at(0).at("plans").size() == 2);

  CHECK_THAT(must_run(eval_command(newest_checkpoint(path), {"--for-report"}), 2).err,
             contains_text("is no run folder"));
  CHECK_THAT(must_run(eval_command(path, {"--for-report", "--split", "val"}), 2).err,
             contains_text("test split"));
  // A folder of evaluations in it is no reason not to know the run again.
  CHECK_THAT(must_run(short_run(path)).err, contains_text("this run is finished"));
}

TEST_CASE("lotformer-eval --for-report of a module without plans leaves those of no other", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(short_run(path, {"--set", "model.attention.kind=softmax"}));
  fs::create_directories(path / "evaluation");
  std::ofstream(path / "evaluation/plans.json") << "{}";
  must_run(eval_command(path, {"--for-report"}));
  CHECK(fs::exists(path / "evaluation/predictions.tsv"));
  CHECK(!fs::exists(path / "evaluation/plans.json"));
}

TEST_CASE("train.tensorboard leaves event files and changes nothing else", "[cli]") {
  const TemporaryFolder folder;
  const fs::path with = folder.path() / "with", without = folder.path() / "without";
  must_run(short_run(with, {"--set", "train.tensorboard=true"}));
  must_run(short_run(without));
  const auto tensors_and_log = [](const fs::path& path) {
    auto bytes = run_bytes(path);
    bytes.erase("state.json");  // holds the configuration, in which they differ
    return bytes;
  };
  CHECK(tensors_and_log(with) == tensors_and_log(without));
  CHECK(!fs::exists(without / "tensorboard"));
  std::string events;
  for (const auto& entry : fs::directory_iterator(with / "tensorboard")) events += slurp(entry.path());
  for (const char* part : {"train/loss", "val/accuracy", "test_best/accuracy", "configuration/text_summary",
                           "pivot_masses/layer0", "query_plan/layer0/head0", "PNG"})
    CHECK(events.find(part) != std::string::npos);
}

TEST_CASE("--profile leaves a trace with the parts of a step, a table, and the same run", "[cli]") {
  const TemporaryFolder folder;
  const fs::path with = folder.path() / "with", without = folder.path() / "without";
  const Finished done = must_run(short_run(with, {"--profile", "3..5"}));
  must_run(short_run(without));
  CHECK(run_bytes(with) == run_bytes(without));
  for (const char* part :
       {"profile of steps 3 to 5", "parts of a step", "layer 0", "attention", "backward", "update", "aten::"})
    CHECK_THAT(done.err, contains_text(part));
  // A part with memory and operators of its own: "  12.345  1.0  0.08  42.0  forward".
  const std::regex forward(R"( +[0-9.]+ +1\.0 +([0-9.]+) +([0-9.]+)  forward\n)");
  std::smatch figures;
  REQUIRE(std::regex_search(done.err, figures, forward));
  CHECK(std::stod(figures[1]) > 0.01);  // 8 x 100 x 16 floats a tensor of activations
  CHECK(std::stod(figures[2]) > 20);
  const Json trace = Json::parse(slurp(with / "profile/trace-steps-3-5.json"));
  std::map<std::string, int> calls;
  for (const Json& event : trace.at("traceEvents")) {
    if (event.contains("name") && event.value("ph", "") == "X") ++calls[event.at("name").get<std::string>()];
  }
  for (const char* part : {"layer 0", "attention", "forward", "backward", "update"}) {
    INFO(part);
    // The validation after step 4 has layers and attention, too.
    CHECK((std::string(part) == "layer 0" || std::string(part) == "attention" ? calls[part] > 3
                                                                              : calls[part] == 3));
  }
  for (const char* wrong : {"0..3", "5..3", "3..", "a", "1..100000"}) {
    INFO(wrong);
    CHECK_THAT(must_run(short_run(folder.path() / "no", {"--profile", wrong}), 2).err,
               contains_text("--profile"));
  }
}

TEST_CASE("predictions have logits whose softmax the probabilities are", "[cli]") {
  const TemporaryFolder folder;
  const fs::path table = folder.path() / "predictions.tsv";
  const fs::path path = folder.path() / "run";
  must_run(short_run(path));
  must_run(eval_command(path, {"--predictions", table.string()}));
  std::istringstream lines(slurp(table));
  std::string line;
  std::getline(lines, line);
  CHECK(line.starts_with("row\tlabel\tprediction\tlength\tdepth\tp:0\tp:1\t"));
  CHECK(line.ends_with("\tlogit:8\tlogit:9"));
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    std::array<double, 5 + 10 + 10> value{};
    for (double& cell : value) REQUIRE(cells >> cell);
    double sum = 0;
    for (size_t c = 0; c < 10; ++c) sum += std::exp(value[15 + c]);
    for (size_t c = 0; c < 10; ++c) CHECK(std::abs(std::exp(value[15 + c]) / sum - value[5 + c]) < 1e-6);
    CHECK(std::max_element(value.begin() + 15, value.end()) - value.begin() - 15 == value[2]);
  }
}
