// SPDX-License-Identifier: MIT
// Files, hashes, JSON and the texts of errors.
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <ctime>
#include <fstream>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/json.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "support/catch.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / concat("lotformer-core-", ::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return concat(error.exit_code(), ": ", error.what());
  }
  return "no error";
}

TEST_CASE("errors: the place comes first") {
  const DataError line = DataError::at_line("listops-1000/basic_train.tsv", 4, "row has 3 columns, 2 wanted");
  CHECK(std::string(line.what()) == "listops-1000/basic_train.tsv:4: row has 3 columns, 2 wanted");
  CHECK(line.kind() == ErrorKind::data);
  CHECK(line.exit_code() == 3);
  CHECK(line.file() == "listops-1000/basic_train.tsv");
  CHECK(line.line() == 4);
  CHECK(!line.record());
  CHECK(line.reason() == "row has 3 columns, 2 wanted");
  CHECK(std::string(DataError::at_record("test_batch.bin", 1, "label 10").what()) ==
        "test_batch.bin: record 1: label 10");
  CHECK(std::string(DataError::at_file("a.tsv", "not found").what()) == "a.tsv: not found");
  const DataError hostile = DataError::at_line("a\n\x1b[2J.tsv", 1, "looked in /données/\r\x7f");
  CHECK(std::string(hostile.what()) == "'a\\x0A\\x1B[2J.tsv':1: looked in /données/\\x0D\\x7F");
  CHECK(hostile.file() == "a\n\x1b[2J.tsv");
}

TEST_CASE("errors: every kind has its exit code") {
  const std::vector<std::pair<ErrorKind, int>> table = {
      {ErrorKind::usage, 2},  {ErrorKind::data, 3},      {ErrorKind::checkpoint, 4},
      {ErrorKind::disk, 5},   {ErrorKind::numerics, 6},  {ErrorKind::memory, 7},
      {ErrorKind::device, 8}, {ErrorKind::internal, 70}, {ErrorKind::interrupted, 75}};
  for (const auto& [kind, code] : table) {
    const ErrorKind thrown = kind;
    CHECK(run_program("test", [thrown]() -> int { throw Error(thrown, "expected by this test"); }) == code);
  }
  CHECK(run_program("test", []() -> int { throw std::bad_alloc(); }) == 7);
  CHECK(run_program("test", []() -> int { throw std::runtime_error("expected by this test"); }) == 70);
  CHECK(run_program("test", [] { return 0; }) == 0);
  CHECK(std::string(build_id()).rfind("0.", 0) == 0);
}

TEST_CASE("files: written atomically, read whole") {
  const Folder folder;
  const fs::path path = folder / "file";
  write_atomic(path, "first");
  write_atomic(path, "second");
  CHECK(read_file(path, ErrorKind::data) == "second");
  CHECK_THROWS(write_atomic(path, [](FileWriter& writer) {
    writer.write("half");
    throw Error(ErrorKind::internal, "expected by this test");
  }));
  CHECK(read_file(path, ErrorKind::data) == "second");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) ==
        1);  // no temporary left

  FileWriter append(path, FileWriter::Open::append);
  CHECK(append.position() == 6);
  const std::string large(size_t{3} << 20, 'x');
  append.write("-");
  append.write(large);
  append.commit();
  CHECK(read_file(path, ErrorKind::data) == "second-" + large);
  CHECK(error_of([&] { read_file(path, ErrorKind::data, 10); }).find("3: ") == 0);
  CHECK(error_of([&] { read_file(folder / "none", ErrorKind::checkpoint); }).find("4: ") == 0);
  CHECK(error_of([&] { read_file(folder.path(), ErrorKind::usage); }).find("is not a regular file") !=
        std::string::npos);
  CHECK(error_of([&] { write_atomic(folder / "none/file", "x"); }).find("5: ") == 0);
  CHECK(error_of([&] { lotformer::create_directories(path / "below"); }).find("5: ") == 0);
  CHECK(free_disk_bytes(folder / "not/there/yet") > 0);
}

TEST_CASE("files: maps, the empty one too") {
  const Folder folder;
  write_atomic(folder / "empty", "");
  write_atomic(folder / "abc", "abc");
  CHECK(MappedFile(folder / "empty", ErrorKind::data).bytes().empty());
  MappedFile one(folder / "abc", ErrorKind::data);
  MappedFile two = std::move(one);
  REQUIRE(two.bytes().size() == 3);
  CHECK(two.bytes()[2] == 'c');
  two = MappedFile();
  CHECK(two.bytes().empty());
  CHECK(error_of([&] { MappedFile(folder / "none", ErrorKind::data); }).find("3: ") == 0);
}

TEST_CASE("hash: XXH3-128, in one piece, in pieces and from a file") {
  CHECK(hash_bytes("") == "99aa06d3014798d86001c324468d497f");
  Hasher hasher;
  hasher.update("ab");
  hasher.update("c");
  CHECK(hasher.digest() == hash_bytes("abc"));
  const Folder folder;
  write_atomic(folder / "abc", "abc");
  CHECK(hash_file(folder / "abc", ErrorKind::data) == hash_bytes("abc"));
  CHECK(hash_bytes("abc") != hash_bytes("abd"));
  CHECK(error_of([&] { hash_file(folder / "none", ErrorKind::data); }).find("3: ") == 0);
}

TEST_CASE("json: nesting without end is refused, not followed") {
  const std::string deep(1'000'000, '[');
  CHECK_THROWS_WITH(parse_json(deep, "file.json", ErrorKind::checkpoint),
                    test::contains_text("nested deeper"));
  CHECK(parse_json("[[[1]]]", "file.json", ErrorKind::checkpoint)[0][0][0] == 1);
}

TEST_CASE("json: a stranger's file takes linear time, and an object has limits") {
  const auto cpu_time = [](int objects) {
    std::string list = "[";
    for (int i = 0; i < objects; ++i) list += i > 0 ? ",{\"bytes\":1}" : "{\"bytes\":1}";
    const std::clock_t start = std::clock();
    CHECK(parse_json(list + "]", "t", ErrorKind::data).size() == static_cast<size_t>(objects));
    return static_cast<double>(std::clock() - start);
  };
  const double few = cpu_time(10'000);
  CHECK(cpu_time(40'000) < 8 * few);  // four times; quadratic: sixteen
  std::string names = "{\"files\":{";
  for (int i = 0; i <= 10'000; ++i) names += concat(i > 0 ? "," : "", "\"", i, "\":1");
  CHECK_THROWS_WITH(parse_json(names + "}}", "t", ErrorKind::data),
                    test::contains_text("t: an object has more than 10000 members"));
  CHECK_THROWS_WITH(parse_json(R"({"a":1,"a":2})", "t", ErrorKind::data),
                    test::contains_text("t: name 'a' appears twice"));
  CHECK_FALSE(try_parse_json("{\"a\":").has_value());
  CHECK_FALSE(try_parse_json(std::string(1'000'000, '[')).has_value());
  CHECK(try_parse_json("{\"a\":1}")->at("a") == 1);
  const Json odd = {{"a", "text"}, {"b", 5}};
  CHECK(json_or<int64_t>(odd, "a", 7) == 7);
  CHECK(json_or<int64_t>(odd, "b", 7) == 5);
  CHECK(json_or<std::string>(odd, "none", "x") == "x");
  CHECK(json_or<std::string>(Json(5), "a", "x") == "x");
}

TEST_CASE("files: a pipe is refused and not waited for, and what is not the file's fault has its own kind") {
  const Folder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(error_of([&] { read_file(folder / "pipe", ErrorKind::checkpoint); }).find("4: ") == 0);
  CHECK(error_of([&] { MappedFile(folder / "pipe", ErrorKind::data); }).find("3: ") == 0);
  CHECK(error_of([&] {
          read_file(folder / "none", ErrorKind::checkpoint, 100, ErrorKind::disk);
        }).find("4: ") == 0);
  // A folder whose entries may not be looked at: EACCES, unless the test runs as root.
  write_atomic(folder / "closed", "text");
  fs::permissions(folder / "closed", fs::perms::none);
  if (::access((folder / "closed").c_str(), R_OK) != 0) {
    CHECK(error_of([&] {
            read_file(folder / "closed", ErrorKind::checkpoint, 100, ErrorKind::disk);
          }).find("5: ") == 0);
  }
}

TEST_CASE("json: doubles survive, errors name their place") {
  for (const double value : {0.1, 1.0 / 3.0, 5e-324, 1e300}) {
    CHECK(parse_json(to_line(Json{{"x", value}}), "t", ErrorKind::data)["x"].get<double>() == value);
  }
  CHECK(to_line(Json{{"b", 1}, {"a", std::nan("")}}) == R"({"b":1,"a":null})");
  CHECK(to_pretty_text(Json::object()) == "{}\n");
  CHECK(error_of([] {
          parse_json("{", "state.json", ErrorKind::checkpoint);
        }).find("4: state.json: not valid JSON") == 0);
  CHECK(error_of([] {
          json_get<int>(Json{{"a", 1}}, "b", "state.json", ErrorKind::checkpoint);
        }) == "4: state.json: member 'b' is missing");
  CHECK(error_of([] {
          json_get<int>(Json{{"a", "x"}}, "a", "state.json", ErrorKind::checkpoint);
        }) == "4: state.json: member 'a' has the wrong type, wanted is a whole number");
  CHECK(error_of([] { json_get<int>(Json(3), "a", "state.json", ErrorKind::data); }).find("is missing") !=
        std::string::npos);
  CHECK(json_get<int>(Json{{"a", 1}}, "a", "", ErrorKind::data) == 1);
}

TEST_CASE("json: a value of another type is refused, never converted") {
  const auto taken = [](const char* text) {
    const Json value = Json::parse(text);
    std::string types;
    if (json_is<bool>(value)) types += "bool ";
    if (json_is<int>(value)) types += "int ";
    if (json_is<int64_t>(value)) types += "int64 ";
    if (json_is<uint64_t>(value)) types += "uint64 ";
    if (json_is<double>(value)) types += "double ";
    if (json_is<std::string>(value)) types += "string ";
    if (json_is<std::vector<int64_t>>(value)) types += "list ";
    return types;
  };
  CHECK(taken("true") == "bool ");
  CHECK(taken("7") == "int int64 uint64 double ");
  CHECK(taken("-7") == "int int64 double ");
  CHECK(taken("3000000000") == "int64 uint64 double ");
  CHECK(taken("18446744073709551615") == "uint64 double ");
  CHECK(taken("1.5") == "double ");
  CHECK(taken("1e300") == "double ");
  CHECK(taken("\"7\"") == "string ");
  CHECK(taken("null").empty());
  CHECK(taken("{}").empty());
  CHECK(taken("[1, 2]") == "list ");
  CHECK(taken("[1, 2.5]").empty());
  CHECK(json_or(Json{{"a", 1.5}}, "a", int64_t{3}) == 3);
}

}  // namespace
}  // namespace lotformer
