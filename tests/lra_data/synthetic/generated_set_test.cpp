// SPDX-License-Identifier: MIT
// Sets appear whole or not at all, say what they are, are found again, and touch nothing else.
#include "data/generate/generated_set.h"

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

TextParameters small_text() {
  TextParameters p;
  p.train = 40;
  p.test = 10;
  return p;
}

struct Kind {
  const char* task;
  const char* folder;
  const char* digest;  // of the set with seed 0
  std::function<Generation(const fs::path&, uint64_t seed)> make;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> table = {
      {"text", "aclImdb", "a672dda095528ed2ca2a869fa7c70436",
       [](const fs::path& root, uint64_t seed) {
         TextParameters p = small_text();
         p.seed = seed;
         return generate_text(root, p);
       }},
      {"retrieval", "tsv_data", "8f7b4b2262a6cb6802ba65ed7fca584f",
       [](const fs::path& root, uint64_t seed) {
         RetrievalParameters p;
         p.seed = seed;
         p.train = 20;
         p.val = p.test = 4;
         return generate_retrieval(root, p);
       }},
      {"image", "cifar-10-batches-bin", "7983779e033a4596de0438840e69772a",
       [](const fs::path& root, uint64_t seed) {
         ImageParameters p;
         p.seed = seed;
         p.train = 45;
         p.val = p.test = 5;
         return generate_image(root, p);
       }},
      {"pathfinder32", "pathfinder32/curv_baseline", "81235aacaa6471fe98fb1b794c4ec442",
       [](const fs::path& root, uint64_t seed) {
         PathfinderParameters p;
         p.seed = seed;
         p.difficulty = "easy";
         p.train = 40;
         p.val = p.test = 5;
         return generate_pathfinder(root, p);
       }},
      {"pathfinder128", "pathfinder128/curv_contour_length_14", "ee1508ae89f2cc4f9d2728446e31719c",
       [](const fs::path& root, uint64_t seed) {
         PathfinderParameters p;
         p.seed = seed;
         p.size = 128;
         p.train = 16;
         p.val = p.test = 2;
         return generate_pathfinder(root, p);
       }},
  };
  return table;
}

TEST_CASE("generated sets: equal seeds give equal bytes, now and ever; other seeds others") {
  for (const Kind& kind : kinds()) {
    INFO(kind.task);
    TemporaryFolder one, two;
    const Generation made = kind.make(one.path(), 0);
    CHECK(made.directory == one.path() / kind.folder);
    CHECK(!made.already_there);
    CHECK(tree_digest(made.directory) == kind.digest);  // a change breaks seeds that people published
    kind.make(two.path(), 1);
    CHECK(tree_digest(two.path() / kind.folder) != kind.digest);
    const Generation again = kind.make(one.path(), 0);
    CHECK(again.already_there);
    CHECK(again.bytes == made.bytes);
    CHECK(again.examples == made.examples);
    const std::string refusal = error_of([&] { kind.make(one.path(), 1); });
    CHECK(contains(refusal, "3: " + made.directory.string() +
                                ": holds a set made with other parameters (seed is 0, wanted 1)"));
  }
}

/// Changes a byte of a file whose digest the record holds, else the length of one in a folder that it counts.
void change_a_byte(const fs::path& directory) {
  const Json record = read_json(directory / "SYNTHETIC.json", ErrorKind::data);
  if (record.contains("files")) {
    const fs::path file = directory / record["files"].items().begin().key();
    std::string text = read_text(file);
    text.back() = static_cast<char>(text.back() ^ 1);
    write_text(file, text);
    return;
  }
  for (const auto& entry :
       fs::recursive_directory_iterator(directory / record["folders"].items().begin().key())) {
    if (!entry.is_regular_file()) continue;
    write_text(entry.path(), read_text(entry.path()) + " ");
    return;
  }
  FAIL("nothing to change in " << directory);
}

TEST_CASE("generated sets: a change that only the record shows is found before a cache is built") {
  for (const Kind& kind : kinds()) {
    INFO(kind.task);
    TemporaryFolder folder;
    const fs::path directory = kind.make(folder.path(), 0).directory;
    change_a_byte(directory);
    DataOptions options;
    options.root = folder.path().string();
    if (std::string_view(kind.folder).ends_with("curv_baseline")) options.difficulty = "easy";
    const std::string said = error_of([&] { open_task(kind.task, options)->open(Split::train); });
    INFO(said);
    CHECK(contains(said, "SYNTHETIC.json"));
    CHECK((contains(said, "contents differ from the digest") || contains(said, "wanted by")));
    for (const auto& entry : fs::directory_iterator(directory / ".lotformer-cache"))
      CHECK(entry.path().extension() != ".cache");
  }
}

TEST_CASE("generated sets: all kinds in one root, each with its own record") {
  TemporaryFolder folder;
  for (const Kind& kind : kinds()) kind.make(folder.path(), 0);
  for (const Kind& kind : kinds()) {
    const Json record = read_json(folder.path() / kind.folder / "SYNTHETIC.json", ErrorKind::data);
    CHECK(record["origin"] == "synthetic");
    CHECK(record["task"] == kind.task);
    CHECK(record["seed"] == 0);
    for (const char* member : {"generator", "version", "parameters", "counts"})
      CHECK(record.contains(member));
    CHECK(kind.make(folder.path(), 0).already_there);
  }
}

TEST_CASE("generated sets: an incomplete one is made again, a foreign one is left alone") {
  for (const Kind& kind : kinds()) {
    INFO(kind.task);
    TemporaryFolder folder;
    const fs::path directory = kind.make(folder.path(), 0).directory;
    const std::string digest = tree_digest(directory);
    fs::path victim;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file() && entry.path().filename() != "SYNTHETIC.json") victim = entry.path();
    }
    fs::remove(victim);
    CHECK(!kind.make(folder.path(), 0).already_there);
    CHECK(tree_digest(directory) == digest);
    fs::remove(directory / "SYNTHETIC.json");
    CHECK(contains(error_of([&] { kind.make(folder.path(), 0); }), "perhaps the official ones"));
    CHECK(fs::exists(victim));
  }
  TemporaryFolder folder;
  generate_text(folder.path(), small_text());
  write_text(folder.path() / "aclImdb/train/neg/99_1.txt", "one more");
  DataOptions options = options_at(folder.path());
  options.rebuild_cache = true;  // as `lotformer-data check`
  CHECK(error_of([&] { open_task("text", options); }) ==
        "3: aclImdb/train: has 41 files, 40 wanted by aclImdb/SYNTHETIC.json");
  TemporaryFolder thesis;
  write_text(thesis.path() / "aclImdb/thesis.txt", "precious");
  CHECK(contains(error_of([&] { generate_text(thesis.path(), small_text()); }), "3: "));
  CHECK(read_text(thesis.path() / "aclImdb/thesis.txt") == "precious");
  TemporaryFolder release;  // ROOT/tsv_data would hide these
  write_text(release.path() / "lra_release/lra_release/tsv_data/new_aan_pairs.train.tsv", "1\ta\tb\tc\td\n");
  CHECK(contains(error_of([&] { kinds()[1].make(release.path(), 0); }), "perhaps the official ones"));
}

TEST_CASE("generated sets: parameters out of range, too little disk") {
  TemporaryFolder folder;
  TextParameters text = small_text();
  text.train = 3;
  CHECK(contains(error_of([&] { generate_text(folder.path(), text); }), "2: generate: --train must be even"));
  text.train = 0;
  CHECK(contains(error_of([&] { generate_text(folder.path(), text); }),
                 "2: generate: --train must lie in 2.."));
  RetrievalParameters retrieval;
  retrieval.min_bytes = 13000;
  CHECK(
      contains(error_of([&] { generate_retrieval(folder.path(), retrieval); }), "2: generate: --min-bytes"));
  PathfinderParameters pathfinder;
  pathfinder.train = 100;
  CHECK(contains(error_of([&] { generate_pathfinder(folder.path(), pathfinder); }), "divided 8 : 1 : 1"));
  pathfinder.size = 256;
  pathfinder.train = 80'000'000;
  pathfinder.val = pathfinder.test = 10'000'000;
  CHECK(contains(error_of([&] { generate_pathfinder(folder.path(), pathfinder); }), "5: "));
  CHECK(!fs::exists(folder.path() / "pathfinder256/curv_contour_length_14"));
}

TEST_CASE("generated sets: a failure leaves nothing, and two processes make one set") {
  TemporaryFolder folder;
  SetPlan plan;
  plan.task = "text";
  plan.folder = "aclImdb";
  plan.own = plan.markers = {"train"};
  plan.parameters = {{"seed", 0}};
  CHECK(error_of([&] {
          make_set(folder.path(), plan, [](const fs::path& partial) -> Json {
            write_small_file(partial / "train", "half");
            throw Error(ErrorKind::disk, "full");
          });
        }) == "5: full");
  for (const auto& entry : fs::directory_iterator(folder.path()))
    CHECK(entry.path().filename() == ".aclImdb.lock");
  std::vector<pid_t> children;
  TextParameters p = small_text();
  p.train = 2000;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(error_of([&] { generate_text(folder.path(), p); }) == "no error" ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
  CHECK(generate_text(folder.path(), p).already_there);
}

}  // namespace
}  // namespace lotformer::data::test
