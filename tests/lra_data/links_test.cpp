// SPDX-License-Identifier: MIT
// No path leaves the folder of the data: a link is followed only when its target lies in that folder too,
// whatever the format, unless data.follow_links says so. And what macOS leaves among the files. Text and
// Pathfinder have more of it in tests of their own.
#include <sys/stat.h>

#include <algorithm>

#include "lotformer/core/log.h"
#include "lotformer/data/png_writer.h"
#include "lotformer/data/task.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

/// A small set of a task in its folder below `root`.
struct Set {
  const char* task;
  const char* folder;
  std::vector<const char*> files;  // each of which is replaced by a link
  Split split;                     // that reads the first of them
};

const std::vector<Set>& sets() {
  static const std::vector<Set> table = {
      {"listops", "listops-1000", {"basic_train.tsv", "basic_val.tsv", "basic_test.tsv"}, Split::train},
      {"retrieval",
       "tsv_data",
       {"new_aan_pairs.train.tsv", "new_aan_pairs.eval.tsv", "new_aan_pairs.test.tsv"},
       Split::train},
      {"image",
       "cifar-10-batches-bin",
       {"data_batch_1.bin", "data_batch_5.bin", "test_batch.bin", "batches.meta.txt"},
       Split::train},
      {"text", "aclImdb", {"train/neg/0_2.txt", "test/pos/0_7.txt"}, Split::train},
      {"pathfinder32",
       "pathfinder32/curv_contour_length_14",
       {"metadata/0.npy", "imgs/0/sample_1.png"},
       Split::train},
  };
  return table;
}

void write_sets(const fs::path& root) {
  small_listops(root / "listops-1000");
  for (const char* name : {"train", "eval", "test"})
    write_text(root / "tsv_data" / concat("new_aan_pairs.", name, ".tsv"), "1\tA\tB\talpha\tbeta\n");
  const fs::path cifar = root / "cifar-10-batches-bin";
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    write_text(cifar / concat(name, ".bin"), std::string(3073, '\x01') + std::string(3073, '\x02'));
  write_text(cifar / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  for (const char* split : {"train", "test"}) {
    write_text(root / "aclImdb" / split / "neg/0_2.txt", "bad");
    write_text(root / "aclImdb" / split / "pos/0_7.txt", "good");
  }
  const fs::path set = root / "pathfinder32/curv_contour_length_14";
  std::string lines;
  for (int n = 0; n < 10; ++n) {
    lines += concat("imgs/0 sample_", n, ".png ", n, " ", n % 2, " 1.0 6 2 2 0.5 1 1\n");
    const std::vector<uint8_t> pixels(1024, static_cast<uint8_t>(n));
    write_text(set / "imgs/0" / concat("sample_", n, ".png"), encode_png(pixels, 32, 32));
  }
  write_text(set / "metadata/0.npy", lines);
}

const std::string kAllowed = " (data.follow_links: true reads it all the same)";

void open_all(const std::string& task, const fs::path& root, bool follow_links = false) {
  DataOptions options;
  options.root = root;
  options.follow_links = follow_links;
  options.strict_counts = task != "image" && task != "pathfinder32";
  options.rebuild_cache = true;
  const auto opened = open_task(task, options);
  for (const Split split : {Split::train, Split::val, Split::test}) opened->open(split);
}

TEST_CASE("links: no format follows one out of its folder") {
  for (const Set& set : sets()) {
    for (const char* file : set.files) {
      INFO(set.task << " " << file);
      TemporaryFolder inside, outside;
      write_sets(inside.path());
      write_sets(outside.path());
      REQUIRE(error_of([&] { open_all(set.task, inside.path()); }) == "no error");
      const fs::path path = inside.path() / set.folder / file;
      fs::remove(path);
      fs::create_symlink(outside.path() / set.folder / file, path);
      CHECK(error_of([&] { open_all(set.task, inside.path()); }) ==
            concat("3: ", set.folder, "/", file,
                   ": is a link whose path leaves the data directory" + kAllowed));
      CHECK(error_of([&] { open_all(set.task, inside.path(), true); }) == "no error");
    }
  }
}

TEST_CASE("links: within the folder they are followed; a pipe or a folder is no file") {
  for (const Set& set : sets()) {
    INFO(set.task);
    TemporaryFolder folder;
    write_sets(folder.path());
    const fs::path path = folder.path() / set.folder / set.files[0];
    const fs::path moved = folder.path() / set.folder / "moved";  // where files of other names may lie
    fs::rename(path, moved);
    fs::create_symlink(fs::relative(moved, path.parent_path()), path);
    CHECK(error_of([&] { open_all(set.task, folder.path()); }) == "no error");
    fs::remove(path);
    fs::remove(moved);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const std::string wanted = concat("3: ", set.folder, "/", set.files[0], ": is not a regular file");
    CHECK(error_of([&] { open_all(set.task, folder.path()); }) == wanted);
    fs::remove(path);
    fs::create_directory(path);
    CHECK(error_of([&] { open_all(set.task, folder.path()); }) == wanted);
  }
}

TEST_CASE("links: folders of reviews and metadata, and the provenance record") {
  TemporaryFolder inside, outside;
  write_sets(inside.path());
  write_sets(outside.path());
  for (const char* folder : {"aclImdb/test/pos", "pathfinder32/curv_contour_length_14/metadata"}) {
    fs::remove_all(inside.path() / folder);
    fs::create_directory_symlink(outside.path() / folder, inside.path() / folder);
  }
  CHECK(error_of([&] { open_all("text", inside.path()); }) ==
        "3: aclImdb/test/pos: its path leaves the data directory by a link" + kAllowed);
  CHECK(error_of([&] { open_all("pathfinder32", inside.path()); }) ==
        "3: pathfinder32/curv_contour_length_14/metadata: its path leaves the data directory by a link" +
            kAllowed);
  write_text(outside.path() / "record", "{\"task\": \"listops\"}");
  fs::create_symlink(outside.path() / "record", inside.path() / "listops-1000/SYNTHETIC.json");
  CHECK(error_of([&] { open_all("listops", inside.path()); }) ==
        "3: listops-1000/SYNTHETIC.json: is a link whose path leaves the data directory" + kAllowed);
  for (const char* task : {"text", "pathfinder32", "listops"}) {
    INFO(task);
    CHECK(error_of([&] { open_all(task, inside.path(), true); }) == "no error");
  }
}

TEST_CASE("macOS: its files among those of a set are passed over, and the log says so") {
  TemporaryFolder folder;
  write_sets(folder.path());
  write_text(folder.path() / "__MACOSX/listops-1000/._basic_train.tsv", "x");
  for (const Set& set : sets()) {
    write_text(folder.path() / set.folder / ".DS_Store", "x");
    write_text((folder.path() / set.folder / set.files[0]).parent_path() / "._1.npy", "x");
  }
  write_text(folder.path() / "aclImdb/train/neg/.DS_Store", "x");
  std::vector<std::string> said;
  log::set_observer([&said](log::Level level, std::string_view text) {
    if (level == log::Level::info) said.emplace_back(text);
  });
  for (const Set& set : sets()) {
    INFO(set.task);
    CHECK(error_of([&] { open_all(set.task, folder.path()); }) == "no error");
  }
  log::set_observer({});
  const auto is_said = [&said](const std::string& line) {
    return std::find(said.begin(), said.end(), line) != said.end();
  };
  CHECK(is_said("aclImdb/train/neg: 2 files that macOS left there (.DS_Store) are passed over"));
  CHECK(
      is_said("pathfinder32/curv_contour_length_14/metadata: 1 file that macOS left there (._1.npy) is "
              "passed over"));
}

}  // namespace
}  // namespace lotformer::data::test
