// SPDX-License-Identifier: MIT
#include "train/run/event_file.h"

#include <cstring>
#include <fstream>
#include <vector>

#include "checkpoint_support.h"
#include "train/run/tensorboard_log.h"

namespace lotformer {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::TemporaryFolder;

std::string slurp(const fs::path& path) {
  return read_file(path, ErrorKind::checkpoint);
}

fs::path only_file(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  REQUIRE(found.size() == 1);
  return found[0];
}

uint32_t masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

/// Payloads of the records; the checksums are compared.
std::vector<std::string> records_of(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    uint32_t length_crc = 0, crc = 0;
    REQUIRE(at + 12 <= bytes.size());
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    CHECK(length_crc == masked(crc32c(bytes.substr(at, 8))));
    REQUIRE(at + 16 + length <= bytes.size());
    records.push_back(bytes.substr(at + 12, length));
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    CHECK(crc == masked(crc32c(records.back())));
    at += 16 + length;
  }
  return records;
}

TEST_CASE("event file: the checksum of RFC 3720") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);
}

TEST_CASE("event file: version, session, then records with tag and number") {
  const TemporaryFolder folder("events1");
  EventFile events(folder.path() / "tensorboard", 300);
  events.scalar(310, "train/loss", 0.5);
  events.flush();
  const auto records = records_of(slurp(only_file(folder.path() / "tensorboard")));
  REQUIRE(records.size() == 3);
  CHECK(contains(records[0], "brain.Event:2"));
  CHECK(contains(records[1], std::string("\x10\xac\x02", 3)));      // step 300
  CHECK(contains(records[1], std::string("\x3a\x02\x08\x01", 4)));  // session: start
  CHECK(contains(records[2], std::string("\x10\xb6\x02", 3)));
  CHECK(contains(records[2], std::string("\x0a\x0atrain/loss\x15\x00\x00\x00\x3f", 17)));  // 0.5f
}

TEST_CASE("event file: a histogram counts finite values, all of them") {
  const TemporaryFolder folder("events2");
  EventFile events(folder.path(), 0);
  const std::vector<float> values = {1, 1, 2, std::nanf(""), 4};
  events.histogram(1, "h", values);
  events.histogram(1, "nothing", std::vector<float>{std::nanf("")});
  events.flush();
  const auto records = records_of(slurp(only_file(folder.path())));
  REQUIRE(records.size() == 3);
  double least = 0, most = 0, count = 0, sum = 0;
  const size_t at = records[2].find(std::string("\x09", 1), records[2].find("\x01h"));
  REQUIRE(at != std::string::npos);
  for (auto [field, place] : {std::pair(&least, 1), {&most, 10}, {&count, 19}, {&sum, 28}})
    std::memcpy(field, records[2].data() + at + static_cast<size_t>(place), 8);
  CHECK(least == 1);
  CHECK(most == 4);
  CHECK(count == 4);
  CHECK(sum == 8);
}

TEST_CASE("tensorboard log: numbers of a line of metrics by split and path, each start a file of its own") {
  const TemporaryFolder folder("events3");
  TensorboardLog first(folder.path(), 0, "task: listops\n");
  first.line({{"step", 10},
              {"epoch", 0},
              {"split", "train"},
              {"loss", 1.5},
              {"data_origin", "synthetic"},
              {"solver", {{"layer0", {{"passes_mean", 2.0}}}}}});
  const std::string text = slurp(only_file(folder.path() / "tensorboard"));
  for (const char* tag :
       {"configuration/text_summary", "task: listops", "train/loss", "train/solver/layer0/passes_mean"})
    CHECK(contains(text, tag));
  for (const char* tag : {"train/epoch", "train/step", "synthetic"}) CHECK(!contains(text, tag));
  // A reader forgets the step of a new start, so that it is written again.
  std::ofstream(folder.path() / "metrics.jsonl")
      << "{\"step\":5,\"split\":\"early\",\"loss\":1}\n{\"step\":10,\"split\":\"kept\",\"loss\":1}\n";
  const auto before = test::names_in(folder.path() / "tensorboard");
  TensorboardLog second(folder.path(), 10, "");
  for (const auto& name : test::names_in(folder.path() / "tensorboard")) {
    if (name == before.at(0)) continue;
    const std::string again = slurp(folder.path() / "tensorboard" / name);
    CHECK(contains(again, "kept/loss"));
    CHECK(!contains(again, "early/loss"));
  }
  CHECK(std::distance(fs::directory_iterator(folder.path() / "tensorboard"), fs::directory_iterator()) == 2);
}

}  // namespace
}  // namespace lotformer
