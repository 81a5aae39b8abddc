// SPDX-License-Identifier: MIT
// Walks the index.json of $LOTFORMER_FIXTURES_DIR (read now, not when this was built; default:
// tests/data/fixtures): valid sets against the expected tensors, malformed ones against the verdict, place
// and words that the index demands.
#include "fixtures.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <map>

#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const std::vector<std::string> kKnownTasks = {"listops",      "text",          "retrieval",
                                              "image",        "pathx",         "pathfinder32",
                                              "pathfinder64", "pathfinder128", "pathfinder256"};

fs::path fixtures_directory() {
  const char* given = std::getenv("LOTFORMER_FIXTURES_DIR");
  return given != nullptr && *given != '\0' ? fs::path(given) : fs::path(LOTFORMER_TEST_DATA) / "fixtures";
}

bool is_built(const std::string& task) {
  const auto& specs = task_specs();
  return std::any_of(specs.begin(), specs.end(), [&](const TaskSpec& spec) { return spec.name == task; });
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void open_all(const std::string& task, const DataOptions& options) {
  const auto opened = open_task(task, options);
  for (const Split split : {Split::train, Split::val, Split::test}) opened->open(split);
}

void check_place(const DataError& error, const Json& names) {
  const auto file = names["file"].get<std::string>();
  CHECK(
      (error.file().size() >= file.size() && error.file().substr(error.file().size() - file.size()) == file));
  if (names.contains("line"))
    CHECK(error.line() == names["line"].get<int64_t>());
  else
    CHECK(!error.line());
  if (names.contains("record"))
    CHECK(error.record() == names["record"].get<int64_t>());
  else
    CHECK(!error.record());
}

/// A case that must be refused, with file, line and words.
void check_refused(const std::string& task, const DataOptions& options, const Json& entry) {
  try {
    open_all(task, options);
    FAIL("accepted; wanted an error: " << entry["why"]);
  } catch (const DataError& error) {
    INFO(error.what());
    CHECK(error.exit_code() == 3);
    check_place(error, entry["message_names"]);
    for (const Json& word : entry["reason_keywords"]) {
      INFO("wanted in the message: " << word);
      CHECK(contains(lower(error.what()), lower(word.get<std::string>())));
    }
  }
}

/// The first training sequence that begins like `wanted` and is as long, in the column `sequence`.
bool has_sequence(const Dataset& dataset, int64_t sequence, const std::vector<int>& wanted) {
  for (int64_t row = 0; row < dataset.size(); ++row) {
    std::vector<int> found;
    for (const uint8_t byte : dataset.bytes(row, sequence))
      found.push_back(byte + static_cast<int>(dataset.id_offset()));
    if (found == wanted) return true;
  }
  return false;
}

/// "accepted", with the ids, the number of examples or the log line that the entry promises.
void check_accepted(const std::string& task, const DataOptions& options, const Json& entry) {
  LogObserver log;
  CHECK_NOTHROW(open_all(task, options));
  const auto opened = open_task(task, options);
  const Dataset train = opened->open(Split::train);
  const std::vector<std::pair<const char*, int64_t>> members = {{"ids", 0}, {"ids0", 0}, {"ids1", 1}};
  for (const auto& [member, sequence] : members) {
    if (entry.contains(member)) CHECK(has_sequence(train, sequence, entry[member].get<std::vector<int>>()));
  }
  const auto verdict = entry["verdict"].get<std::string>();
  const std::string counted = "accepted: ";
  if (verdict.rfind(counted, 0) == 0) {
    const int64_t examples =
        train.size() + opened->open(Split::val).size() + opened->open(Split::test).size();
    CHECK(examples == std::stoll(verdict.substr(counted.size())));
    CHECK(log.has(entry["message_names"]["file"].get<std::string>()));
  }
  if (contains(verdict, "tokenizer: char")) {
    DataOptions characters = options;
    characters.tokenizer = "char";
    check_refused(task, characters, entry);
  }
}

void check_malformed(const fs::path& fixtures, const Json& entry) {
  TemporaryFolder folder;
  const auto task = entry["task"].get<std::string>();
  const auto verdict = entry["verdict"].get<std::string>();
  const DataOptions options =
      options_from(entry, copy_of(fixtures / entry["root"].get<std::string>(), folder));
  if (verdict.rfind("accepted", 0) == 0) return check_accepted(task, options, entry);
  REQUIRE(verdict.rfind("error", 0) == 0);
  const std::string only_with = "error only with ";
  if (verdict.rfind(only_with, 0) == 0) {
    Json plain = entry;
    plain["option"].erase(verdict.substr(only_with.size(), verdict.find(':') - only_with.size()));
    // The cache this leaves must not hide the error below.
    CHECK_NOTHROW(open_all(task, options_from(plain, options.root)));
  }
  check_refused(task, options, entry);
}

/// Counts a case and says whether it can run; an unknown task fails.
bool wants_run(const std::string& task, std::map<std::string, int>& done,
               std::map<std::string, int>& skipped) {
  if (is_built(task)) {
    ++done[task];
    return true;
  }
  INFO("task '" << task << "'");
  CHECK(std::find(kKnownTasks.begin(), kKnownTasks.end(), task) != kKnownTasks.end());
  ++skipped[task];
  return false;
}

TEST_CASE("fixtures: every case of the index gets its verdict") {
  const fs::path fixtures = fixtures_directory();
  INFO("fixtures in " << fixtures.string());
  const Json index = read_json(fixtures / "index.json", ErrorKind::data);
  std::map<std::string, int> done, skipped;
  for (const Json& entry : index.at("valid")) {
    const auto task = entry["task"].get<std::string>();
    if (!wants_run(task, done, skipped)) continue;
    INFO("valid " << task << " in " << entry["root"]);
    check_valid(fixtures, entry);
  }
  for (const Json& entry : index.at("malformed")) {
    if (!wants_run(entry["task"].get<std::string>(), done, skipped)) continue;
    const auto name = entry["case"].get<std::string>();
    INFO("case " << name);
    check_malformed(fixtures, entry);
  }
  int cases = 0;
  for (const auto& [task, count] : done) {
    std::cout << task << ": " << count << " cases\n";
    cases += count;
  }
  for (const auto& [task, count] : skipped) {
    std::cout << task << ": " << count << " cases skipped (task not built)\n";
    cases += count;
  }
  std::cout << cases << " cases" << std::endl;
  REQUIRE(cases > 0);
}

}  // namespace
}  // namespace lotformer::data::test
