// SPDX-License-Identifier: MIT
// Every case of the golden set, from whatever folder the environment names when this runs.
#include "suites/golden.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>

#include "lotformer/attention/attention.h"
#include "lotformer/core/text.h"
#include "support/catch.h"

namespace lotformer::test {
namespace {

void run_case(const GoldenCase& golden, Report& report) {
  if (golden.module == "model") return run_model_case(golden, report);
  if (golden.module == "schedule") return run_schedule_case(golden, report);
  if (is_attention(golden.module)) return run_attention_case(golden, report);
  throw Error(ErrorKind::data, concat(golden.name, ": module ", quoted(golden.module), " is not known"));
}

/// A folder with an index of our own, removed afterwards.
struct TemporaryFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / concat("lotformer_golden_", getpid());
  explicit TemporaryFolder(const std::string& index) {
    std::filesystem::create_directories(path);
    std::ofstream(path / "index.json") << index;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

std::string failure_of(const std::string& index, const std::string& copied = "") {
  const TemporaryFolder folder(index);
  if (!copied.empty()) {
    std::filesystem::copy_file(std::filesystem::path(LOTFORMER_TEST_DATA) / "golden" / copied,
                               folder.path / copied);
  }
  try {
    run_golden(folder.path);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::data);
    return error.what();
  }
  return "";
}

}  // namespace

bool is_attention(const std::string& kind) {
  const auto& specs = attention_specs();
  return std::any_of(specs.begin(), specs.end(),
                     [&](const AttentionSpec& spec) { return spec.kind == kind; });
}

Report run_golden(const std::filesystem::path& folder) {
  Report report;
  for (const GoldenCase& golden : read_golden(folder)) {
    run_case(golden, report);
    report.finish_case(golden);
  }
  return report;
}

TEST_CASE("golden: every case of the index") {
  at::set_num_threads(2);
  const std::filesystem::path folder = golden_folder();
  INFO("folder " << folder);
  const Report report = run_golden(folder);
  std::cout << "golden cases of " << folder.string() << "\n" << report.summary() << std::flush;
  for (const std::string& failure : report.failures()) FAIL_CHECK(failure);
}

TEST_CASE("golden: an unusable index fails instead of passing with nothing checked") {
  CHECK_THAT(failure_of(R"({"format": "lra-golden-1", "cases": []})"), test::contains_text("lists no case"));
  CHECK_THAT(failure_of(R"({"format": "lra-golden-1"})"), test::contains_text("'cases' is missing"));
  CHECK_THAT(failure_of("{"), test::contains_text("index.json"));
  const std::string entry =
      R"({"cases": [{"name": "x", "file": "softmax_01.safetensors", "module": "MODULE", "family": "reference",
      "hyperparameters": {}, "tolerance": {}}]})";
  CHECK_THAT(failure_of(entry), test::contains_text("softmax_01.safetensors"));  // the file is missing
  CHECK_THAT(failure_of(entry, "softmax_01.safetensors"), test::contains_text("'MODULE' is not known"));
}

}  // namespace lotformer::test
