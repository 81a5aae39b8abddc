// SPDX-License-Identifier: MIT
// lotformer-bench and scripts/bench/train.sh as their users meet them, at tiny sizes. Times are printed,
// never judged.
#include <cmath>
#include <set>
#include <sstream>

#include "cli/support.h"
#include "lotformer/core/error.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kModules = {"softmax",   "performer", "sinkformer", "espformer",
                                           "lotformer", "linear",    "mean",       "none"};

Command bench(std::vector<std::string> arguments) {
  for (const char* common :
       {"--device", "cpu", "--threads", "2", "--batch", "1", "--heads", "1", "--head-dim", "8"})
    arguments.emplace_back(common);
  return {.program = "lotformer-bench", .arguments = std::move(arguments)};
}

/// Runs, writes the report to a file and reads it.
Json report_of(std::vector<std::string> arguments, std::string& table) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "report.json";
  arguments.insert(arguments.end(), {"--json", file.string()});
  const Finished finished = run(bench(std::move(arguments)));
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  table = finished.out;
  return read_json(file, ErrorKind::data);
}

/// Slope of the least-squares line, by the normal equations.
double slope(const Json& n, const Json& bytes) {
  double count = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < n.size(); ++i) {
    const double x = std::log(n[i].get<double>()), y = std::log(bytes[i].get<double>());
    ++count, sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  return (count * sxy - sx * sy) / (count * sxx - sx * sx);
}

std::vector<std::string> with_modules(std::vector<std::string> arguments) {
  arguments.emplace_back("--modules");
  arguments.insert(arguments.end(), kModules.begin(), kModules.end());
  return arguments;
}

}  // namespace

TEST_CASE("bench: no module's extra memory grows faster than linearly in the tokens") {
  std::string table;
  std::vector<std::string> arguments = with_modules({"memory", "--lengths", "512", "1024", "2048", "4096"});
  for (const char* more :
       {"espformer:hard=true", "sinkformer:exact", "lotformer:truncated", "lotformer:reference"})
    arguments.emplace_back(more);
  for (const bool dropout : {false, true}) {
    if (dropout)
      arguments = {"memory",    "--lengths", "512",      "1024",      "2048", "4096",
                   "--modules", "softmax",   "--padded", "--dropout", "0.1"};
    const Json report = report_of(arguments, table);
    std::set<std::string> seen;
    for (const Json& row : report.at("rows")) {
      INFO(to_line(row));
      seen.insert(row.at("attention").get<std::string>());
      REQUIRE(row.at("exponent").is_number());
      const double exponent = row.at("exponent").get<double>();
      CHECK(exponent == Catch::Approx(slope(row.at("n"), row.at("peak_bytes"))));
      CHECK(exponent <= 1.1);
      CHECK(exponent > 0.1);  // something was counted
    }
    CHECK(seen == (dropout ? std::set<std::string>{"softmax"}
                           : std::set<std::string>(kModules.begin(), kModules.end())));
    CHECK_THAT(table, contains_text("| exponent |"));
  }
}

TEST_CASE("bench: rows of speed and memory, a table with its command") {
  std::string table;
  std::vector<std::string> arguments =
      with_modules({"attention", "--tasks", "image", "--rounds", "1", "--padded"});
  for (const char* more :
       {"lotformer:reference", "lotformer:truncated,pivots=3", "espformer:inverse_temperature=0"})
    arguments.emplace_back(more);
  const Json report = report_of(arguments, table);
  const Json& rows = report.at("rows");
  REQUIRE(rows.size() == 2 * (kModules.size() + 3));
  std::set<std::string> seen;
  for (const Json& row : rows) {
    INFO(to_line(row));
    seen.insert(row.at("attention").get<std::string>() + "/" + row.at("pass").get<std::string>());
    CHECK(row.at("task") == "image");
    CHECK(row.at("n") == 1024);
    CHECK(row.at("pivots").is_null() == (row.at("attention") != "lotformer"));
    CHECK(row.at("median_us").get<double>() > 0);
    const bool solved = row.at("mode") == "exact";
    CHECK(row.at("residual").is_number() == solved);
    if (solved) CHECK(row.at("residual").get<double>() <= 1e-4);
    CHECK(row.at("peak_bytes").get<int64_t>() > 0);
    // Output, then the gradients of q, k and v too: one head of 8, float32.
    if (row.at("attention") == "softmax")
      CHECK(row.at("peak_bytes").get<int64_t>() - row.at("working_bytes").get<int64_t>() ==
            (row.at("pass") == "forward" ? 1 : 4) * int64_t{1024 * 8 * 4});
    for (const char* ratio : {"ratio_to_reference", "ratio_to_softmax", "ratio_to_default"})
      CHECK(row.at(ratio).get<double>() > 0);
    if (row.at("attention") == "softmax") CHECK(row.at("ratio_to_softmax") == 1.0);
    if (row.at("mode") == "reference") CHECK(row.at("ratio_to_reference") == 1.0);
    if (row.at("options") == "pivots=3") {
      CHECK(row.at("mode") == "truncated");
      CHECK(row.at("pivots") == 3);
    }
  }
  for (const std::string& module : kModules) {
    CHECK(seen.count(module + "/forward") == 1);
    CHECK(seen.count(module + "/forward+backward") == 1);
    CHECK_THAT(table, contains_text("| image | 1024 | " + module));
  }
  CHECK_THAT(table, contains_text("`lotformer-bench attention --tasks image"));
  CHECK_THAT(table, contains_text("espformer, masked, inverse_temperature=0"));
}

TEST_CASE("bench: without a file --json prints nothing else") {
  const Finished finished = run(bench({"memory", "--modules", "mean", "--lengths", "64", "--json"}));
  REQUIRE(finished.exit_code == 0);
  const Json report = parse_json(finished.out, "stdout", ErrorKind::data);
  CHECK(report.at("rows").at(0).at("exponent").is_null());  // one length has no slope
}

TEST_CASE("bench: what is wrong on the command line is said in one line before anything is measured") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"attention", "--modules", "softmx"}, "'softmx' is not one of softmax, performer"},
      {{"attention", "--modules", "espformer:foo"}, "espformer:mode=foo"},
      {{"attention", "--modules", "espformer:tau=-1"}, "must be > 0, got -1"},
      {{"attention", "--modules", "mean:exact"}, "mean:mode=exact"},
      {{"attention", "--modules", "lotformer:"}, "expected module:mode,key=value"},
      {{"attention", "--modules", "performer:relu=1"}, "relu"},
      {{"attention", "--tasks", "chess"}, "chess"},
      {{"attention", "--rounds", "0"}, "--rounds"},
      {{"attention", "--dropout", "1"}, "--dropout"},
      {{"attention", "--score-std", "0"}, "--score-std"},
      {{"attention", "--json", "/no/such/folder/x.json"}, "/no/such/folder"},
      {{"memory", "--lengths", "64", "64"}, "--lengths must ascend, got 64 64"},
      {{"memory", "--lengths", "128", "64"}, "--lengths must ascend, got 128 64"},
      {{"memory", "--lengths", "0"}, "--lengths"},
      {{}, "subcommand"},
  };
  for (const auto& [arguments, message] : wrong) {
    const Finished finished = run({.program = "lotformer-bench", .arguments = arguments});
    INFO(finished.err);
    CHECK(finished.exit_code == 2);
    CHECK(is_one_line(finished.err));
    CHECK_THAT(finished.err, contains_text(message));
    CHECK(finished.out.empty());
  }
}

TEST_CASE("bench_train.sh: steps and batch of each module, losses and memory") {
  const TemporaryFolder folder;
  const auto script = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), LOTFORMER_SOURCE_DIR "/scripts/bench/train.sh");
    return run({.program = "/bin/bash",
                .arguments = std::move(arguments),
                .environment = {{"LOTFORMER_TRAIN", LOTFORMER_BIN_DIR "/lotformer-train"},
                                {"LOTFORMER_DEPS_DIR", (folder.path() / "deps").string()}}});
  };
  const Finished finished = script({"--config", LOTFORMER_TEST_DATA "/configs/tiny.yaml", "--kinds",
                                    "softmax:8:4 mean none:6", "--steps", "5", "--rounds", "1", "--device",
                                    "cpu", "--set", "data.root=" + small_listops().string()});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  std::istringstream lines(finished.err);
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] == '{') rows.push_back(parse_json(line, "stderr", ErrorKind::data));
  }
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].at("steps") == 8);
  CHECK(rows[0].at("batch") == 4);
  CHECK(rows[1].at("steps") == 5);
  CHECK(rows[2].at("steps") == 6);
  for (const Json& row : rows) {
    INFO(to_line(row));
    for (const char* key : {"first_loss", "last_loss"}) {
      CHECK(row.at(key).get<double>() > 0.1);
      CHECK(row.at(key).get<double>() < 10);  // log(10) is chance
    }
    CHECK(row.at("peak_mib").get<double>() > 10);
    CHECK(row.at("seconds_per_step").get<double>() > 0);
  }
  CHECK_THAT(finished.out, contains_text("| softmax | 8 | 4 |"));
  CHECK_THAT(finished.out, contains_text("first loss | last loss"));
  const Finished bad = script({"--kinds", "softmax:8:x"});
  CHECK(bad.exit_code == 1);
  CHECK_THAT(bad.err, contains_text("--kinds must be words KIND, KIND:STEPS or KIND:STEPS:BATCH"));
  CHECK_THAT(bad.err, contains_text("got 'softmax:8:x'"));
}

TEST_CASE("bench: shapes of one's own") {
  std::string table;
  const Json report =
      report_of({"attention", "--shapes", "70x5", "64x4", "--rounds", "1", "--modules", "lotformer"}, table);
  const Json& rows = report.at("rows");
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].at("task") == "70x5");
  CHECK(rows[0].at("n") == 70);
  CHECK(rows[0].at("pivots") == 5);
  CHECK(rows[2].at("n") == 64);
  for (const char* wrong : {"70", "70x", "x5", "0x5", "70x5x", "70x-5", "99999999999999999999x4"}) {
    INFO(wrong);
    const Finished refused = run(bench({"attention", "--shapes", wrong}));
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, contains_text("TOKENSxPIVOTS"));
  }
}
