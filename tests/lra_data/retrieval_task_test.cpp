// SPDX-License-Identifier: MIT
// The Retrieval task: rows, documents that pairs share, characters, the cache with an index.
#include <cstring>

#include "lotformer/core/hash.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const std::string kPair = "1\tA\tB\talpha\tbeta\n";

void write_pairs(const fs::path& directory, const std::string& train, const std::string& test = kPair) {
  write_text(directory / "new_aan_pairs.train.tsv", train);
  write_text(directory / "new_aan_pairs.eval.tsv", kPair);
  write_text(directory / "new_aan_pairs.test.tsv", test);
}

std::string document(const Dataset& dataset, int64_t row, int64_t sequence) {
  const auto bytes = dataset.bytes(row, sequence);
  return {bytes.begin(), bytes.end()};
}

TEST_CASE("retrieval: a document is stored once, whatever its id") {
  TemporaryFolder folder;
  write_pairs(
      folder.path() / "aan",
      "1\tA\tB\talpha\tbeta\n0.0\tB\tA\tbeta\talpha\n1.0\tA\tA\talpha\talpha\n0\tA\tC\tother\tbeta\n");
  const auto task = open_task("retrieval", options_at(folder.path()));
  const Dataset train = task->open(Split::train);
  REQUIRE(train.size() == 4);
  CHECK(train.sequences() == 2);
  CHECK(task->sequences() == 2);
  CHECK(std::string(train.storage().begin(), train.storage().end()) == "alphabetaother");
  CHECK(train.begin(0, 0) == train.begin(1, 1));
  CHECK(train.begin(2, 0) == train.begin(2, 1));
  CHECK(document(train, 3, 0) == "other");  // the same id, another text
  CHECK(document(train, 1, 0) == "beta");
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < 4; ++row) labels.push_back(train.label(row));
  CHECK(labels == std::vector<int64_t>{1, 0, 1, 0});
}

TEST_CASE("retrieval: quotes, blanks and control bytes are ordinary; the cut counts pairs") {
  TemporaryFolder folder;
  const std::string odd = " \"a\"\"\x01\x7f\xff'b\" ";
  write_pairs(folder.path(), "1\t\t\t" + odd + "\t\"\r\n0\tA\tB\tlonger text\tx");
  DataOptions options = options_at(folder.path());
  const Dataset train = open_task("retrieval", options)->open(Split::train);
  CHECK(document(train, 0, 0) == odd);
  CHECK(document(train, 0, 1) == "\"");
  CHECK(train.size() == 2);
  options.max_length = 8;
  const auto task = open_task("retrieval", options);
  const Dataset cut = task->open(Split::train);
  CHECK(cut.cut_examples() == 2);
  CHECK(document(cut, 1, 0) == "longer t");
  CHECK(cut.property(1, 0) == 11);
  CHECK(cut.property(1, 1) == 1);
  CHECK(task->attributes().at(0).value(cut, 1) == 11);
}

TEST_CASE("retrieval: labels are numbers that are 0 or 1") {
  const auto label_of = [](const std::string& label) {
    TemporaryFolder folder;
    write_pairs(folder.path(), label + "\tA\tB\talpha\tbeta\n");
    return error_of([&] { open_task("retrieval", options_at(folder.path()))->open(Split::train); });
  };
  for (const std::string good : {"0", "1", "0.0", "1.0", "1.", "1e0", "-0.0"})
    CHECK(label_of(good) == "no error");
  for (const std::string bad : {"", " 1", "1 ", "+1", "one", "0x1", "1,0"})
    CHECK(contains(label_of(bad), "3: new_aan_pairs.train.tsv:1: label "));
  for (const std::string bad : {"2", "-1", "0.5", "nan", "inf", "1e300"})
    CHECK(contains(label_of(bad), "is not 0 or 1"));
  CHECK(contains(label_of("1e999"), "is not a number"));
}

TEST_CASE("retrieval: the release without texts is named") {
  TemporaryFolder folder;
  write_text(folder.path() / "tsv_data/new_aan_pairs.train.only_ids.tsv", "1\tA\tB\n");
  CHECK(contains(error_of([&] { open_task("retrieval", options_at(folder.path())); }),
                 "the texts are missing"));
}

TEST_CASE("retrieval: characters, counted once for each pair") {
  TemporaryFolder folder;
  write_pairs(folder.path(), "1\tA\tB\tbb\ta\n1\tA\tC\tbb\taac\n", "0\tX\tY\tabc\tz\xc3\xa9\n");
  DataOptions options = options_at(folder.path());
  options.tokenizer = "char";
  for (int run = 0; run < 2; ++run) {
    const auto task = open_task("retrieval", options);
    CHECK(task->vocab_size() == 6);  // b 4 times, a 3, c once
    CHECK(task->max_length() == 4000);
    const Dataset test = task->open(Split::test);
    CHECK(ids(test, 0) == std::vector<int>{4, 3, 5, 2});
    const auto second = test.bytes(0, 1);
    CHECK(std::vector<int>(second.begin(), second.end()) == std::vector<int>{1, 1, 2});
  }
  std::string many = "1\tA\tB\t";
  for (char32_t c = 0x4E00; c < 0x4E00 + 254; ++c) {
    many += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
             static_cast<char>(0x80 | (c & 63))};
  }
  write_pairs(folder.path(), many + "\tx\n");
  CHECK(contains(error_of([&] { open_task("retrieval", options); }), "more than 253 different characters"));
}

TEST_CASE("retrieval: a cache whose index leaves the documents is refused, right checksums or not") {
  TemporaryFolder folder;
  write_pairs(folder.path(), kPair);
  const auto open = [&] { return open_task("retrieval", options_at(folder.path()))->open(Split::train); };
  CHECK(document(open(), 0, 1) == "beta");
  const fs::path path = folder.path() / ".lotformer-cache/train-byte-4000.cache";
  std::string bytes = read_text(path);
  // 9 bytes of documents and 7 zeros, three offsets, one label, then the index of two documents.
  constexpr size_t kIndex = 16 + 3 * 8 + 4, kFooter = 2240, kDigest = 32;
  REQUIRE(bytes[kIndex + 4] == 1);
  bytes[kIndex + 4] = 2;
  char* footer = bytes.data() + bytes.size() - kFooter;
  const std::string content = hash_bytes({bytes.data(), bytes.size() - kFooter});
  std::memcpy(footer + kFooter - 2 * kDigest, content.data(), kDigest);
  const std::string self = hash_bytes({footer, kFooter - kDigest});
  std::memcpy(footer + kFooter - kDigest, self.data(), kDigest);
  fs::remove(path);
  write_text(path, bytes);
  LogObserver log;
  CHECK(document(open(), 0, 1) == "beta");
  CHECK(log.has("is not used: its offsets are wrong"));
}

}  // namespace
}  // namespace lotformer::data::test
