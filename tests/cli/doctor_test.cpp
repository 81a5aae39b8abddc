// SPDX-License-Identifier: MIT
// lotformer-doctor as its users meet it.
#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>

#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

Command doctor(const fs::path& folder, std::vector<std::string> more) {
  Command command{.program = "lotformer-doctor",
                  .arguments = {"--device", "cpu", "--root", (folder / "data").string(), "--runs",
                                (folder / "runs").string()}};
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  return command;
}

/// Findings of a topic.
std::vector<Json> about(const Json& report, const std::string& topic) {
  std::vector<Json> found;
  for (const Json& finding : report.at("findings")) {
    if (finding.at("topic") == topic) found.push_back(finding);
  }
  return found;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("doctor: a line a finding, every module on every core, nothing stays behind", "[cli]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "runs");
  const auto start = std::chrono::steady_clock::now();
  const Finished done = run(doctor(folder.path(), {}));
  WARN("seconds: " << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  INFO(done.out << done.err);
  REQUIRE(done.exit_code == 0);
  std::istringstream in(done.out);
  std::string last;
  for (std::string line; std::getline(in, line); last = line) {
    INFO(line);
    const bool verdict = line.rfind("ok       ", 0) == 0 || line.rfind("warning  ", 0) == 0;
    CHECK((verdict || in.peek() == EOF));
    CHECK((line.rfind("warning", 0) == 0) == has(line, "  ->  "));
  }
  CHECK(has(last, ", 0 problems"));
  for (const char* part :
       {"softmax (on the CPU)", "lotformer (core aten, on the CPU)", "lotformer (core cpu, on the CPU)",
        "espformer", "sinkformer", "performer", "linear", "LibTorch ", "processors usable", "iB a second"})
    CHECK(has(done.out, part));
  CHECK(fs::is_empty(folder.path() / "runs"));
  CHECK_FALSE(fs::exists(folder.path() / "data"));
}

TEST_CASE("doctor: --json is one object, and says what lies below the root", "[cli]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "data");
  fs::copy(small_listops(), folder.path() / "data", fs::copy_options::recursive);
  REQUIRE(run({.program = "lotformer-data",
               .arguments = {"stats", "--task", "listops", "--root", (folder.path() / "data").string()}})
              .exit_code == 0);
  fs::create_directories(folder.path() / "data/tsv_data");
  std::ofstream(folder.path() / "data/tsv_data/new_aan_pairs.train.tsv") << "1\tA\tB\ta\tb\n";
  const Finished done = run(doctor(folder.path(), {"--json"}));
  INFO(done.out << done.err);
  REQUIRE(is_one_line(done.out));
  CHECK(done.exit_code == 1);  // two files of three are missing
  const Json report = Json::parse(done.out);
  CHECK(report.at("problems") == 1);
  std::set<std::string> texts;
  for (const Json& finding : about(report, "data")) texts.insert(finding.at("text").get<std::string>());
  const auto said = [&texts](const std::string& begin, const std::string& part) {
    return std::any_of(texts.begin(), texts.end(),
                       [&](const std::string& text) { return text.rfind(begin, 0) == 0 && has(text, part); });
  };
  CHECK(said("listops: synthetic, ", " caches of "));
  CHECK(said("retrieval: ", "new_aan_pairs.eval.tsv: not found in"));
  CHECK(said("not below ", "text, image, pathfinder32"));
  for (const Json& finding : report.at("findings")) {
    INFO(finding.dump());
    CHECK(finding.at("remedy").get<std::string>().empty() == (finding.at("verdict") == "ok"));
  }
}

TEST_CASE("doctor: a device that is not there, a folder that is a file; --help fits a screen", "[cli]") {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "runs") << "no folder";
  const Finished done = run(doctor(folder.path(), {"--device", "cuda:63", "--json"}));
  INFO(done.out << done.err);
  CHECK(done.exit_code == 1);
  const Json report = Json::parse(done.out);
  CHECK(report.at("problems") == 2);
  CHECK(has(about(report, "device").at(0).at("text"), "cuda:63"));
  CHECK(about(report, "runs").at(0).at("verdict") == "problem");
  CHECK(run(doctor(folder.path(), {"--device", "gpu"})).exit_code == 2);
  CHECK(run(doctor(folder.path(), {"--frobnicate"})).exit_code == 2);
  const Finished help = run({.program = "lotformer-doctor", .arguments = {"--help"}});
  CHECK(help.exit_code == 0);
  CHECK(has(help.out, "Examples:\n  lotformer-doctor"));
  CHECK(std::count(help.out.begin(), help.out.end(), '\n') <= 24);
}
