// SPDX-License-Identifier: MIT
// Walks the index.json of $LOTFORMER_FIXTURES_DIR (read now, not when this was built; default:
// tests/data/fixtures): valid sets against the expected tensors, malformed ones against the verdict, place
// and words that the index demands.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>

#include "lotformer/core/safetensors.h"
#include "support.h"
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

/// Options of a case; an option that the loader does not have is a failure, not a shrug.
DataOptions options_from(const Json& entry, const fs::path& root) {
  DataOptions options;
  options.root = root;
  const Json given = entry.value("option", Json::object());
  for (const auto& [key, value] : given.items()) {
    if (key == "verify_labels")
      options.verify_labels = value.get<bool>();
    else if (key == "append_eos")
      options.append_eos = value.get<bool>();
    else if (key == "tokenizer")
      options.tokenizer = value.get<std::string>();
    else if (key == "vocab")
      options.vocab = value.get<std::string>();
    else if (key == "max_length")
      options.max_length = value.get<int64_t>();
    else if (key == "pad_to")
      options.pad_to = value.get<int64_t>();
    else
      FAIL("option '" << key << "' is not known to this test");
  }
  return options;
}

/// A private copy: caches are written beside the data, and the fixtures may be read-only.
fs::path copy_of(const fs::path& source, const TemporaryFolder& folder) {
  const fs::path target = folder.path() / source.filename();
  if (fs::exists(source)) fs::copy(source, target, fs::copy_options::recursive);
  return target;
}

void open_all(const std::string& task, const DataOptions& options) {
  const auto opened = open_task(task, options);
  for (const Split split : {Split::train, Split::val, Split::test}) opened->open(split);
}

template <class T>
std::vector<T> values(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.tensor(name);
  std::vector<T> result(view.data.size() / sizeof(T));
  std::memcpy(result.data(), view.data.data(), view.data.size());
  return result;
}

/// `variant` is "", "alnum." or "s4.". Returns the number of tensors compared.
int compare_split(const SafetensorsFile& expected, const std::string& split, const std::string& variant,
                  const Dataset& dataset, int64_t width) {
  const std::string prefix = split + "." + variant;
  const auto wanted_ids = values<int32_t>(expected, prefix + "ids");
  const auto wanted_offsets = values<int64_t>(expected, prefix + "offsets");
  const auto wanted_labels = values<int64_t>(expected, split + ".labels");
  const auto wanted_padded = values<int32_t>(expected, prefix + "padded_first");
  const auto wanted_mask = values<uint8_t>(expected, prefix + "mask_first");
  REQUIRE(expected.tensor(prefix + "padded_first").shape[1] == width);

  std::vector<int32_t> ids, padded;
  std::vector<int64_t> offsets = {0}, labels;
  std::vector<uint8_t> mask;
  const auto first_rows = static_cast<int64_t>(wanted_padded.size()) / width;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    for (const uint8_t byte : dataset.bytes(row))
      ids.push_back(byte + static_cast<int32_t>(dataset.id_offset()));
    offsets.push_back(static_cast<int64_t>(ids.size()));
    labels.push_back(dataset.label(row));
    if (row >= first_rows) continue;
    padded.insert(padded.end(), ids.end() - dataset.length(row), ids.end());
    padded.resize(static_cast<size_t>((row + 1) * width), 0);
    mask.insert(mask.end(), static_cast<size_t>(dataset.length(row)), 1);
    mask.resize(padded.size(), 0);
  }
  CHECK(offsets == wanted_offsets);
  CHECK((ids == wanted_ids));  // no printing of ten thousand numbers
  CHECK(labels == wanted_labels);
  CHECK((padded == wanted_padded));
  CHECK((mask == wanted_mask));
  return 5;
}

void check_valid_listops(const fs::path& fixtures, const Json& entry) {
  TemporaryFolder folder;
  const DataOptions options =
      options_from(entry, copy_of(fixtures / entry["root"].get<std::string>(), folder));
  const SafetensorsFile expected(fixtures / entry["expected"].get<std::string>(), ErrorKind::data);
  DataOptions alnum = options, s4 = options;
  alnum.tokenizer = "alnum";
  alnum.pad_to = 2048;
  s4.vocab = "s4";
  int tensors = 0;
  const std::vector<std::pair<std::string, DataOptions>> variants = {
      {"", options}, {"alnum.", alnum}, {"s4.", s4}};
  for (const auto& [variant, variant_options] : variants) {
    const auto task = open_task("listops", variant_options);
    for (const Split split : {Split::train, Split::val, Split::test}) {
      const std::string name(to_string(split));
      INFO("listops " << variant << name);
      if (!expected.contains(name + "." + variant + "ids")) continue;
      const Dataset dataset = task->open(split);
      CHECK(dataset.size() == entry["counts"][name].get<int64_t>());
      tensors += compare_split(expected, name, variant, dataset, task->max_length());
    }
  }
  CHECK(tensors > 0);
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

void check_malformed(const fs::path& fixtures, const Json& entry) {
  TemporaryFolder folder;
  const auto task = entry["task"].get<std::string>();
  const auto verdict = entry["verdict"].get<std::string>();
  DataOptions options = options_from(entry, copy_of(fixtures / entry["root"].get<std::string>(), folder));
  if (verdict.rfind("accepted", 0) == 0) {
    CHECK_NOTHROW(open_all(task, options));
    return;
  }
  REQUIRE(verdict.rfind("error", 0) == 0);
  if (verdict.rfind("error only with", 0) == 0) {
    DataOptions plain;
    plain.root = options.root;
    CHECK_NOTHROW(open_all(task, plain));  // and the cache this leaves must not hide the error below
  }
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
    REQUIRE(task == "listops");  // each task brings its comparison here
    check_valid_listops(fixtures, entry);
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
