// SPDX-License-Identifier: MIT
#include "lotformer/core/safetensors.h"

#include <unistd.h>

#include <cstring>
#include <ctime>
#include <filesystem>
#include <random>

#include "lotformer/core/text.h"
#include "support/catch.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;

/// A file of that header text and that many data bytes, with the true header length unless another one is
/// claimed.
std::string file_bytes(const std::string& header, size_t data_bytes, int64_t claimed = -1) {
  const uint64_t length = claimed < 0 ? header.size() : static_cast<uint64_t>(claimed);
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(length >> (8 * i));
  return out + header + std::string(data_bytes, 'x');
}

SafetensorsContent parse(const std::string& bytes) {
  return parse_safetensors({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "some.safetensors",
                           ErrorKind::checkpoint);
}

std::string message_of(const std::string& bytes) {
  try {
    parse(bytes);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::checkpoint);
    CHECK(std::string(error.what()).rfind("some.safetensors: not a valid safetensors file: ", 0) == 0);
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.what();
  }
  return "accepted";
}

TensorView view(const std::string& dtype, std::vector<int64_t> shape, const std::string& bytes) {
  return {dtype, std::move(shape), {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}};
}

struct Malformed {
  std::string bytes, wanted;
};

const std::vector<Malformed>& malformed_files() {
  static const std::vector<Malformed> cases = {
      {"", "0 bytes"},
      {"1234567", "7 bytes"},
      {file_bytes("", 0), "not a JSON object"},
      {file_bytes("{}", 0, 3), "claims 3 bytes, the file has 2"},
      {file_bytes("{}", 0, 99'000'000), "claims 99000000 bytes"},
      {file_bytes("{}", 0, int64_t{1} << 62), "claims 4611686018427387904 bytes"},
      {std::string(8, '\xff') + "{}", "claims 18446744073709551615 bytes"},
      {file_bytes("[]", 0), "not a JSON object"},
      {file_bytes("{\"a\":", 0), "not valid JSON"},
      {file_bytes("{} {}", 0), "not valid JSON"},
      {file_bytes("{\"\xff\":1}", 0), "not valid JSON"},
      {file_bytes("{\"a\":1}", 0), "'a' does not have exactly"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1]}})", 1), "'a' does not have exactly"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}})", 1),
       "'a' does not have exactly"},
      {file_bytes(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,1]}})", 1), "unknown dtype 'F33'"},
      {file_bytes(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1), "unknown dtype '7'"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1), "shape is not a list"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[)" + join(std::vector<std::string>(65, "1"), ",") +
                      R"(],"data_offsets":[0,1]}})",
                  1),
       "at most 64 sizes"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       "too many"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
       "something else than a size"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1),
       "something else than a size"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1e400],"data_offsets":[0,1]}})", 1), "not valid JSON"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1),
       "else than a size"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1), "not a pair"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1), "claims bytes 1 to 0 of 1"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1), "claims bytes 0 to 2 of 1"},
      {file_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
       "has 4 bytes, its shape wants 8"},
      // 2^32 * 2^32 elements wrap to zero bytes in 64-bit arithmetic.
      {file_bytes(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       "too many"},
      {file_bytes(R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0),
       "too many"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2),
       "end at byte 1 of the data, which has 2"},
      {file_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2), "'a' begins at byte 1"},
      {file_bytes(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
           3),
       "'b' begins at byte 1, the one before it ends at 2"},
      {file_bytes(
           R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
           2),
       "'a' appears twice"},
      {file_bytes(R"({"__metadata__":{"k":1}})", 0), "'k' is not a string"},
      {file_bytes(R"({"__metadata__":"k"})", 0), "not an object"},
      {file_bytes(R"({"__metadata__":{"k":[[]]}})", 0), "nested deeper than 3 levels"},
      {file_bytes("{\"a\":" + std::string(1'000'000, '['), 0), "nested deeper than 3 levels"},
  };
  return cases;
}

TEST_CASE("safetensors: every malformed header is refused with its reason") {
  for (const Malformed& item : malformed_files()) {
    const std::string message = message_of(item.bytes);
    INFO(item.bytes.substr(0, 160) << "\n" << message);
    CHECK(message.find(item.wanted) != std::string::npos);
  }
}

TEST_CASE("safetensors: a header of many tensors takes linear time") {
  const auto cpu_time = [](int tensors) {
    std::string header = "{";
    for (int i = 0; i < tensors; ++i)
      header += concat(i > 0 ? "," : "", "\"", i, R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
    const std::clock_t start = std::clock();
    CHECK(parse(file_bytes(header + "}", 0)).tensors.size() == static_cast<size_t>(tensors));
    return static_cast<double>(std::clock() - start);
  };
  const double few = cpu_time(5'000);
  CHECK(cpu_time(20'000) < 8 * few);  // four times; quadratic: sixteen
}

TEST_CASE("safetensors: what was written reads back, empty and scalar tensors included") {
  const fs::path path = fs::temp_directory_path() / concat("lotformer_safetensors_", ::getpid());
  const std::string odd = "abc", eight = "12345678";
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"quote", "\"\n\xc3\xa9"}};
  {
    FileWriter writer(path);
    write_safetensors(
        writer,
        {{"z", view("U8", {3, 1}, odd)}, {"empty", view("F32", {4, 0}, "")}, {"a", view("F64", {}, eight)}},
        metadata);
    writer.commit();
  }
  const SafetensorsFile file(path, ErrorKind::data);
  CHECK(file.metadata() == metadata);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensor("z").shape == std::vector<int64_t>{3, 1});
  CHECK(std::memcmp(file.tensor("z").data.data(), odd.data(), 3) == 0);
  CHECK(file.tensor("empty").data.empty());
  CHECK(file.tensor("a").shape.empty());
  CHECK(file.tensor("a").dtype == "F64");
  CHECK(std::memcmp(file.tensor("a").data.data(), eight.data(), 8) == 0);
  CHECK(file.contains("a"));
  CHECK_FALSE(file.contains("b"));
  CHECK_THROWS_WITH(file.tensor("b"), path.string() + ": has no tensor 'b'");
  uint64_t header_length = 0;
  std::memcpy(&header_length, read_file(path, ErrorKind::data).data(), 8);
  CHECK(header_length % 8 == 0);
  fs::remove(path);
}

TEST_CASE("safetensors: the writer refuses what it could not read back") {
  const fs::path path = fs::temp_directory_path() / concat("lotformer_safetensors_", ::getpid());
  FileWriter writer(path);
  const std::string byte = "x";
  CHECK_THROWS_AS(write_safetensors(writer, {{"a", view("U9", {1}, byte)}}, {}), Error);
  CHECK_THROWS_AS(write_safetensors(writer, {{"a", view("U8", {2}, byte)}}, {}), Error);
  CHECK_THROWS_AS(write_safetensors(writer, {{"__metadata__", view("U8", {1}, byte)}}, {}), Error);
  CHECK_THROWS_AS(write_safetensors(writer, {{"a", view("U8", {1}, byte)}, {"a", view("U8", {1}, byte)}}, {}),
                  Error);
  fs::remove(path);
}

TEST_CASE("safetensors: random damage of a header never does more than throw an Error") {
  const std::string good = file_bytes(
      R"({"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"v":{"dtype":"U8","shape":[],"data_offsets":[24,25]}})",
      25);
  REQUIRE(parse(good).tensors.size() == 2);
  std::mt19937_64 random(7);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    for (uint64_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] ^= static_cast<char>(1 << (random() % 8));
          break;
        case 2:
          bytes.erase(at, 1 + random() % 8);
          break;
        default:
          bytes.insert(at, 1, "{}[]\",:0123456789"[random() % 17]);
          break;
      }
      if (bytes.empty()) break;
    }
    try {
      for (const auto& [name, tensor] : parse(bytes).tensors) accepted += tensor.data.size() <= bytes.size();
    } catch (const Error&) {
    }
  }
  CHECK(accepted > 0);
}

}  // namespace
}  // namespace lotformer
