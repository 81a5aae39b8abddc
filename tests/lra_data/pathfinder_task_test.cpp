// SPDX-License-Identifier: MIT
// The Pathfinder tasks: layouts, difficulties, splits, paths, empty images, the packed cache.
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>

#include "lotformer/data/check.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const fs::path kFixture =
    fs::path(LOTFORMER_TEST_DATA) / "fixtures/lra_release/lra_release/pathfinder32/curv_contour_length_14";

/// A set of `images` images in one batch; labels 0 1 0 1.
void write_set(const fs::path& directory, int images) {
  fs::create_directories(directory / "imgs/0");
  std::string metadata;
  for (int i = 0; i < images; ++i) {
    fs::copy_file(kFixture / "imgs/0" / concat("sample_", i % 15, ".png"),
                  directory / "imgs/0" / concat("sample_", i, ".png"));
    metadata += concat("imgs/0 sample_", i, ".png ", i, " ", i % 2, " 1.0 14 4 2 0.5 1 1\n");
  }
  write_text(directory / "metadata/0.npy", metadata);
}

std::string error_with(const std::string& metadata) {
  TemporaryFolder folder;
  write_set(folder.path(), 3);
  write_text(folder.path() / "metadata/0.npy", metadata);
  return error_of(
      [&] { open_task("pathfinder32", options_of_any_count(folder.path()))->open(Split::train); });
}

TEST_CASE("pathfinder: found at every level and under its other name") {
  for (const std::string place :
       {"pathfinder32/curv_contour_length_14", "lra_release/lra_release/pathfinder32/curv_contour_length_14",
        "pathfinder/pathfinder32/curv_contour_length_14", "curv_contour_length_14", "."}) {
    INFO(place);
    TemporaryFolder folder;
    write_set(folder.path() / place, 10);
    const auto task = open_task("pathfinder32", options_of_any_count(folder.path()));
    CHECK(task->open(Split::train).size() == 8);
    CHECK(task->open(Split::val).size() == 1);
    CHECK(task->open(Split::test).size() == 1);
    fs::resize_file(folder.path() / place / "imgs/0/sample_4.png", 100);
    DataOptions again = options_of_any_count(folder.path());
    again.rebuild_cache = true;
    const std::string prefix = place == "." ? "" : place + "/";
    CHECK(contains(error_of([&] { open_task("pathfinder32", again)->open(Split::val); }),
                   "3: " + prefix + "imgs/0/sample_4.png: PNG cannot be decoded: the file ends early"));
  }
  TemporaryFolder empty;
  CHECK(contains(error_of([&] { open_task("pathx", options_of_any_count(empty.path())); }),
                 "3: pathfinder128/curv_contour_length_14/metadata: not found; looked in "));
}

TEST_CASE("pathfinder: each difficulty has its folder, and a folder of another is no slip unnoticed") {
  TemporaryFolder folder;
  write_set(folder.path() / "pathfinder32/curv_baseline", 10);
  DataOptions options = options_of_any_count(folder.path());
  CHECK(contains(error_of([&] { open_task("pathfinder32", options); }), "difficulty hard"));
  options.difficulty = "easy";
  CHECK(open_task("pathfinder32", options)->open(Split::train).size() == 8);
  options.root = folder.path() / "pathfinder32/curv_baseline";
  CHECK(open_task("pathfinder32", options)->open(Split::train).size() == 8);
  options.difficulty = "hard";
  CHECK(contains(error_of([&] { open_task("pathfinder32", options); }), "2: data.root: "));
}

TEST_CASE("pathfinder: every image is in one split, in each way of dividing") {
  TemporaryFolder folder;
  write_set(folder.path(), 45);
  for (const std::string split : {"default", "torch42", "tfds", "sequential"}) {
    INFO(split);
    DataOptions options = options_of_any_count(folder.path());
    options.split = split;
    LogObserver log;
    const auto task = open_task("pathfinder32", options);
    CHECK(log.has("experimental") == (split == "tfds"));
    std::set<int64_t> lines;
    std::vector<int64_t> sizes;
    for (const Split part : {Split::train, Split::val, Split::test}) {
      const Dataset dataset = task->open(part);
      sizes.push_back(dataset.size());
      for (int64_t row = 0; row < dataset.size(); ++row) {
        lines.insert(dataset.property(row, 3));
        CHECK(dataset.property(row, 2) == 0);
        CHECK(dataset.label(row) == (dataset.property(row, 3) - 1) % 2);
        const auto pixels = dataset.bytes(row);
        CHECK(dataset.property(row, 0) == 1024 - std::count(pixels.begin(), pixels.end(), uint8_t{0}));
      }
    }
    CHECK(lines.size() == 45);
    // tfds: boundaries at 36 and 40.5, rounded to the even 40.
    CHECK(sizes == (split == "tfds" ? std::vector<int64_t>{36, 4, 5} : std::vector<int64_t>{37, 4, 4}));
  }
  CHECK(std::distance(fs::directory_iterator(folder.path() / ".lotformer-cache"), {}) ==
        2);  // one cache, one lock
}

TEST_CASE("pathfinder: metadata lines") {
  const std::string first = "imgs/0 sample_0.png 0 1";
  CHECK(error_with(first) == "no error");
  CHECK(error_with("  imgs/0\tsample_0.png   0 0 \r\nimgs/0 sample_1.png 1 1\r\n") == "no error");
  CHECK(contains(error_with(first + "\n\n"), "3: metadata/0.npy:2: line has 0 columns, at least 4 wanted"));
  // Line ends of the old Macintosh: two records, of which four columns would be read.
  const std::string rest = " 1.0 14 4 2 0.5 1 1\r";
  const std::string mac = "imgs/0 sample_0.png 0 0" + rest + "imgs/0 sample_1.png 1 1" + rest;
  CHECK(error_with(mac) ==
        "3: metadata/0.npy:1: a carriage return inside the line; lines end with LF or CR LF");
  CHECK(contains(error_with(first + "\r\n" + mac), "3: metadata/0.npy:2: a carriage return inside"));
  CHECK(contains(error_with("imgs/0 sample_0.png 0 01x"), "metadata/0.npy:1: label '01x' is not an integer"));
  CHECK(contains(error_with("imgs/0 sample_0.png 0 99999999999"), "outside 0..1"));
  CHECK(contains(error_with("imgs/0 sample_9.png 0 1"), "3: imgs/0/sample_9.png: not found"));
  CHECK(contains(error_with("imgs/0 . 0 1"), "3: imgs/0/.: is not a regular file"));
  for (const std::string path : {"/etc passwd", "imgs/0 /etc/passwd", ".. sample_0.png",
                                 "imgs/../../x sample_0.png", "imgs/0 ../../../etc/passwd", "imgs/0 .."})
    CHECK(contains(error_with(path + " 0 1"), "3: metadata/0.npy:1: path "));
  CHECK(contains(error_with("imgs/0 " + std::string(300, 'x') + " 0 1"), "3: metadata/0.npy:1: path "));
  CHECK(contains(error_with(std::string("imgs/0 a\0b 0 1", 14)), "3: metadata/0.npy:1: path "));
}

TEST_CASE("pathfinder: an image or a number of metadata that is there twice") {
  TemporaryFolder folder;
  write_set(folder.path(), 4);
  const auto open = [&] {
    open_task("pathfinder32", options_of_any_count(folder.path()))->open(Split::train);
  };
  for (const std::string path : {"imgs/0 sample_1.png", "imgs/./0 sample_1.png", "imgs 0/sample_1.png"}) {
    write_text(folder.path() / "metadata/3.npy", "imgs/0 sample_9.png 9 1\n" + path + " 1 0\n");
    CHECK(error_of(open) == "3: metadata/3.npy:2: image imgs/0/sample_1.png is listed twice");
  }
  fs::rename(folder.path() / "metadata/3.npy", folder.path() / "metadata/00.npy");
  CHECK(error_of(open) == "3: metadata/00.npy: has the number of metadata/0.npy");
}

TEST_CASE("pathfinder: nothing beside the metadata is passed over") {
  for (const char* name : {"1.NPY", "1.npy~", "1.txt", "README", "1.npy.bak", "-1.npy", ".npy"}) {
    INFO(name);
    TemporaryFolder folder;
    write_set(folder.path(), 4);
    write_text(folder.path() / "metadata" / name, "imgs/0 sample_9.png 9 1\n");
    const auto open = [&] {
      open_task("pathfinder32", options_of_any_count(folder.path()))->open(Split::train);
    };
    CHECK(error_of(open) == concat("3: metadata/", name, ": file name is not <number>.npy"));
  }
}

TEST_CASE("pathfinder: names in messages hold nothing that moves a terminal") {
  const std::string escape = error_with("imgs/0 \x1b[31m 3 1");
  CHECK(escape == "3: 'imgs/0/\\x1B[31m': not found");
  const std::string mark = error_with("\xef\xbb\xbfimgs/0 sample_0.png 0 1");
  CHECK(mark.find("begins with a byte order mark (EF BB BF)") != std::string::npos);
}

TEST_CASE("pathfinder: links and pipes") {
  TemporaryFolder folder, outside;
  write_set(folder.path(), 4);
  write_set(outside.path(), 4);
  const auto open = [&] {
    DataOptions options = options_of_any_count(folder.path());
    options.rebuild_cache = true;
    open_task("pathfinder32", options)->open(Split::train);
  };
  const fs::path image = folder.path() / "imgs/0/sample_2.png";
  fs::remove(image);
  fs::create_symlink(outside.path() / "imgs/0/sample_2.png", image);
  CHECK(contains(error_of(open), "3: imgs/0/sample_2.png: is a link whose path leaves the data directory"));
  fs::remove(image);
  fs::create_symlink("sample_1.png", image);
  CHECK(error_of(open) == "no error");
  fs::remove(image);
  REQUIRE(::mkfifo(image.c_str(), 0600) == 0);
  CHECK(contains(error_of(open), "3: imgs/0/sample_2.png: is not a regular file"));
  fs::remove_all(folder.path() / "imgs/0");
  fs::create_directory_symlink(outside.path() / "imgs/0", folder.path() / "imgs/0");
  CHECK(contains(error_of(open), "3: imgs/0/sample_0.png: its path leaves the data directory by a link"));
}

TEST_CASE("pathfinder: empty images") {
  TemporaryFolder folder;
  const fs::path set = folder.path() / "pathfinder32/curv_baseline";
  write_set(set, 200);
  fs::resize_file(set / "imgs/0/sample_172.png", 0);
  DataOptions options = options_of_any_count(folder.path());
  options.difficulty = "easy";
  {
    LogObserver log;
    const auto task = open_task("pathfinder32", options);
    CHECK(task->open(Split::train).size() == 199 - 2 * 19);
    CHECK(log.has("imgs/0/sample_172.png: 0 bytes, left out (a known fault of the release)"));
    CHECK(log.has("1 of 200 images have 0 bytes and were left out"));
  }
  LogObserver log;
  open_task("pathfinder32", options)->open(Split::train);
  CHECK(log.has("1 of 200 images have 0 bytes and were left out"));  // from the cache: not silent either
  fs::resize_file(set / "imgs/0/sample_3.png", 0);
  options.rebuild_cache = true;
  CHECK(contains(error_of([&] { open_task("pathfinder32", options)->open(Split::train); }),
                 "imgs/0/sample_3.png: image file is empty"));
  options.skip_empty_images = true;
  open_task("pathfinder32", options)->open(Split::train);
  CHECK(log.has("2 of 200 images"));
  options.strict_counts = true;
  CHECK(contains(error_of([&] { open_task("pathfinder32", options)->open(Split::train); }),
                 "3: pathfinder32/curv_baseline/metadata: lists 200 images, 200000 wanted"));
  options.rebuild_cache = false;
  CHECK(contains(error_of([&] { open_task("pathfinder32", options)->open(Split::train); }), "200000 wanted"));
}

TEST_CASE("pathfinder: the cache follows metadata and the number of images, and outlives damage") {
  TemporaryFolder folder;
  write_set(folder.path(), 10);
  const auto fingerprint = [&] {
    return open_task("pathfinder32", options_of_any_count(folder.path()))->open(Split::train).fingerprint();
  };
  const std::string before = fingerprint();
  const fs::path cache = folder.path() / ".lotformer-cache/images.cache";
  std::string bytes = read_text(cache);
  bytes[5000] = static_cast<char>(bytes[5000] ^ 1);
  fs::remove(cache);
  write_text(cache, bytes);
  LogObserver log;
  CHECK(fingerprint() == before);
  CHECK(log.has("images.cache is not used: its checksum is wrong; it is made anew"));
  fs::copy_file(folder.path() / "imgs/0/sample_1.png", folder.path() / "imgs/0/sample_10.png");
  CHECK(fingerprint() == before);
  CHECK(log.has("is not used: the data files or the reader have changed"));
  write_text(folder.path() / "metadata/1.npy", "imgs/0 sample_10.png 10 1\n");
  CHECK(fingerprint() != before);
}

TEST_CASE("pathfinder: two processes at once") {
  TemporaryFolder folder;
  write_set(folder.path(), 400);
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool good = false;
      try {
        good = open_task("pathfinder32", options_of_any_count(folder.path()))->open(Split::test).size() == 40;
      } catch (...) {
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
}

TEST_CASE("pathfinder: so few images that splits are empty") {
  TemporaryFolder folder;
  write_set(folder.path(), 4);
  const auto task = open_task("pathfinder32", options_of_any_count(folder.path()));
  CHECK(task->open(Split::train).size() == 4);
  CHECK(task->open(Split::val).size() == 0);
  const Json summary = check_task("pathfinder32", options_of_any_count(folder.path()));
  CHECK(summary["splits"]["test"]["examples"] == 0);
  CHECK(contains(describe_check(summary), "val: no examples"));
}

TEST_CASE("pathfinder: sizes by name") {
  TemporaryFolder folder;
  write_set(folder.path(), 1);
  CHECK(contains(
      error_of([&] { open_task("pathfinder64", options_of_any_count(folder.path()))->open(Split::train); }),
      "3: imgs/0/sample_0.png: is 32 x 32 pixels, 64 x 64 wanted"));
  DataOptions options = options_of_any_count(folder.path());
  const auto name = [&](const std::string& task) { return open_task(task, options)->name(); };
  CHECK(name("pathx") == "pathx");
  CHECK(open_task("pathx", options)->max_length() == 16384);
  CHECK(open_task("pathfinder256", options)->max_length() == 65536);
  CHECK(open_task("pathfinder32", options)->class_names() == std::vector<std::string>{"different", "same"});
}

}  // namespace
}  // namespace lotformer::data::test
