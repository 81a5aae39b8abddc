// SPDX-License-Identifier: MIT
// A cache whose digests are right and whose numbers are not: programs use labels, ids and ranks as indices,
// so such a cache is made anew, with a line that says why.
#include <array>
#include <cstddef>
#include <cstring>

#include "data/cache.h"
#include "lotformer/data/png_writer.h"
#include "lotformer/data/stats.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

/// The bytes of a cache, where its sections begin, and its footer.
struct Parts {
  std::string bytes;
  CacheFooter footer{};
  size_t offsets = 0, labels = 0, properties = 0;

  explicit Parts(const fs::path& path) : bytes(read_text(path)) {
    std::memcpy(&footer, bytes.data() + bytes.size() - sizeof footer, sizeof footer);
    offsets = (footer.token_bytes + 7) / 8 * 8;
    labels = offsets + (footer.row_bytes == 0 ? 8 * (footer.documents + 1) : 0);
    properties = labels + 4 * footer.rows + (footer.indexed != 0 ? 4 * footer.rows * footer.sequences : 0);
  }
  template <class T>
  void put(size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void set_label(size_t row, int32_t value) { put(labels + 4 * row, value); }
  void set_property(size_t row, size_t property, uint32_t value) {
    put(properties + 4 * (row * footer.properties + property), value);
  }
  /// The bytes with digests that are right again.
  std::string mended() {
    const auto array = [](const std::string& digest) {
      std::array<char, 32> result{};
      std::copy_n(digest.begin(), result.size(), result.begin());
      return result;
    };
    const size_t start = bytes.size() - sizeof footer;
    footer.content = array(hash_bytes({bytes.data(), start}));
    footer.self = array(hash_bytes({reinterpret_cast<const char*>(&footer), offsetof(CacheFooter, self)}));
    std::memcpy(bytes.data() + start, &footer, sizeof footer);
    return bytes;
  }
};

fs::path only_cache(const fs::path& directory, const std::string& start) {
  for (const auto& entry : fs::directory_iterator(directory / ".lotformer-cache")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(start) && name.ends_with(".cache")) return entry.path();
  }
  return {};
}

/// Opens the training split, lets `harm` change its cache, takes the statistics of the set; the log.
std::string log_after(const std::string& task, const fs::path& directory, const DataOptions& options,
                      const std::function<void(Parts&)>& harm) {
  const std::string fingerprint = open_task(task, options)->open(Split::train).fingerprint();
  const fs::path path = only_cache(directory, task.starts_with("pathfinder") ? "images" : "train");
  REQUIRE(!path.empty());
  Parts parts(path);
  const std::string intact = parts.bytes;
  harm(parts);
  fs::remove(path);
  write_text(path, parts.mended());
  LogObserver log;
  CHECK(error_of([&] { task_stats(task, options, Split::train); }) == "no error");
  CHECK(open_task(task, options)->open(Split::train).fingerprint() == fingerprint);
  CHECK(read_text(path) == intact);
  return log.text();
}

void write_two_records_a_file(const fs::path& directory) {
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    write_text(directory / concat(name, ".bin"), std::string(3073, '\x01') + std::string(3073, '\x02'));
}

void write_pathfinder(const fs::path& directory) {
  std::string lines;
  for (int n = 0; n < 20; ++n) {
    lines += concat("imgs/0 sample_", n, ".png ", n, " ", n % 2, " 1.0 6 2 2 0.5 1 1\n");
    const std::vector<uint8_t> pixels(1024, static_cast<uint8_t>(n));
    write_text(directory / "imgs/0" / concat("sample_", n, ".png"), encode_png(pixels, 32, 32));
  }
  write_text(directory / "metadata/0.npy", lines);
}

TEST_CASE("hostile cache: labels outside the classes") {
  for (const int32_t label : {10, 1000000000, -1, -5000000}) {
    INFO(label);
    TemporaryFolder folder;
    write_two_records_a_file(folder.path());
    const std::string wanted =
        concat("is not used: label ", label, " of row 3 outside 0..9; it is made anew");
    CHECK(contains(log_after("image", folder.path(), options_of_any_count(folder.path()),
                             [&](Parts& parts) { parts.set_label(3, label); }),
                   wanted));
    TemporaryFolder other;
    small_listops(other.path());
    CHECK(contains(log_after("listops", other.path(), options_at(other.path()),
                             [&](Parts& parts) { parts.set_label(1, label); }),
                   concat("label ", label, " of row 1 outside 0..9")));
  }
}

TEST_CASE("hostile cache: ranks that are no permutation, counts of pixels beyond the pixels") {
  TemporaryFolder folder;
  write_pathfinder(folder.path());
  for (const std::string split : {"tfds", "torch42"}) {
    DataOptions options = options_of_any_count(folder.path());
    options.split = split;
    const auto log = [&](size_t property, uint32_t value) {
      return log_after("pathfinder32", folder.path(), options,
                       [&](Parts& parts) { parts.set_property(7, property, value); });
    };
    CHECK(contains(log(1, 400000000), "is not used: place 400000000 of row 7 is outside 0..19 or taken"));
    CHECK(contains(log(1, 20), "place 20 of row 7"));
    CHECK(contains(log_after("pathfinder32", folder.path(), options,
                             [](Parts& parts) {
                               parts.set_property(0, 1, 5);
                               parts.set_property(1, 1, 5);
                             }),
                   "place 5 of row "));
    CHECK(contains(log(0, 1025), "row 7 has 1025 pixels that are not black, of 1024"));
  }
}

TEST_CASE("hostile cache: ids beyond the vocabulary, documents of no or too many tokens") {
  TemporaryFolder folder;
  small_listops(folder.path());
  DataOptions options = options_at(folder.path());
  for (const uint8_t id : {uint8_t{17}, uint8_t{255}}) {
    CHECK(contains(log_after("listops", folder.path(), options, [&](Parts& parts) { parts.put(2, id); }),
                   concat("is not used: it has id ", static_cast<int>(id), ", but there are 17 ids")));
  }
  CHECK(contains(log_after("listops", folder.path(), options,
                           [](Parts& parts) { parts.put(parts.offsets + 8, uint64_t{0}); }),
                 "is not used: its offsets are wrong"));
  options.max_length = 4;
  fs::remove_all(folder.path() / ".lotformer-cache");
  CHECK(contains(log_after("listops", folder.path(), options,
                           [](Parts& parts) { parts.put(parts.offsets + 8, uint64_t{2}); }),
                 "is not used: document 1 has 6 tokens, at most 4 are possible"));
}

TEST_CASE("hostile cache: a table of characters that is none, and labels of pairs") {
  TemporaryFolder folder;
  for (const char* split : {"train", "test"}) {
    write_text(folder.path() / split / "neg/0_2.txt", std::string(20, 'a') + std::string(20, 'b'));
    write_text(folder.path() / split / "pos/0_7.txt", std::string(20, 'b'));
  }
  DataOptions options = options_at(folder.path());
  options.tokenizer = "char";
  const auto log = [&](size_t extra, uint64_t value) {
    return log_after("text", folder.path(), options,
                     [&](Parts& parts) { parts.footer.extras[extra] = value; });
  };
  CHECK(contains(log(0, 1), "is not used: it has id 4, but there are 4 ids"));
  for (const uint64_t size : {uint64_t{256}, uint64_t{1000}, ~uint64_t{0}})
    CHECK(contains(log(0, size), "but there are 0 ids"));
  CHECK(contains(log_after("text", folder.path(), options,
                           [](Parts& parts) { parts.footer.extras[1] = parts.footer.extras[2]; }),
                 "but there are 0 ids"));
  CHECK(contains(log(1, 0x110000), "but there are 0 ids"));

  TemporaryFolder pairs;
  for (const char* name : {"train", "eval", "test"})
    write_text(pairs.path() / concat("new_aan_pairs.", name, ".tsv"), "1\tA\tB\talpha\tbeta\n");
  CHECK(contains(log_after("retrieval", pairs.path(), options_at(pairs.path()),
                           [](Parts& parts) { parts.set_label(0, 2); }),
                 "label 2 of row 0 outside 0..1"));
}

}  // namespace
}  // namespace lotformer::data::test
