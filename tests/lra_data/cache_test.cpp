// SPDX-License-Identifier: MIT
// The cache of a split: used when valid, rebuilt with a stated reason when stale or damaged, elsewhere when
// it cannot lie beside the data.
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "lotformer/core/hash.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

Dataset open_train(const DataOptions& options) {
  return open_task("listops", options)->open(Split::train);
}

fs::path cache_file(const fs::path& root) {
  return root / ".lotformer-cache/train-default-2000.cache";
}

/// Makes the data and its cache, lets `harm` change the cache's bytes, opens again; returns the log.
std::string log_after(const std::function<void(std::string&)>& harm) {
  TemporaryFolder folder;
  small_listops(folder.path());
  const Dataset before = open_train(options_at(folder.path()));
  std::string bytes = read_text(cache_file(folder.path()));
  const std::string intact = bytes;
  harm(bytes);
  fs::remove(cache_file(folder.path()));  // `before` keeps its mapping of the old file
  write_text(cache_file(folder.path()), bytes);
  LogObserver log;
  const Dataset after = open_train(options_at(folder.path()));
  CHECK(ids(after, 0) == ids(before, 0));
  CHECK(after.label(1) == before.label(1));
  CHECK(after.fingerprint() == before.fingerprint());
  CHECK(read_text(cache_file(folder.path())) == intact);
  return log.text();
}

TEST_CASE("cache: a valid one is used as it is") {
  CHECK(!contains(log_after([](std::string&) {}), "cache"));
}

TEST_CASE("cache: a damaged byte is noticed wherever it lies") {
  TemporaryFolder folder;
  small_listops(folder.path());
  open_train(options_at(folder.path()));
  const size_t size = read_text(cache_file(folder.path())).size();
  for (size_t place = 0; place < size; place += place < 40 ? 3 : 23) {
    INFO("byte " << place << " of " << size);
    const std::string log =
        log_after([place](std::string& bytes) { bytes[place] = static_cast<char>(bytes[place] ^ 0x40); });
    CHECK(contains(log, "is not used: "));
    CHECK(contains(log, "it is made anew"));
  }
}

TEST_CASE("cache: cut short, too long, empty or something else") {
  for (const size_t keep : {size_t{0}, size_t{1}, size_t{8}, size_t{100}, size_t{400}}) {
    INFO("first " << keep << " bytes");
    CHECK(contains(log_after([keep](std::string& bytes) { bytes.resize(keep); }), "is not used: it is "));
    CHECK(contains(log_after([keep](std::string& bytes) { bytes.resize(bytes.size() - 1 - keep / 8); }),
                   "is not used: it is "));
  }
  CHECK(contains(log_after([](std::string& bytes) { bytes += "x"; }), "is not used: "));
  CHECK(contains(log_after([](std::string& bytes) { bytes.insert(0, 8, '\0'); }), "is not used: "));
  CHECK(contains(log_after([](std::string& bytes) { bytes.assign(100000, 'x'); }),
                 "is not used: it is damaged"));
}

TEST_CASE(
    "cache: numbers out of range are refused before they are used, even with a right checksum of the "
    "footer") {
  // Rows, sequences, documents, token bytes, bytes of a row, the flag of an index and properties lie right
  // behind magic and version; the footer ends in its own digest.
  constexpr size_t kFooter = 2240, kDigest = 32;
  for (size_t field = 2; field < 9; ++field) {
    for (const uint64_t value : {uint64_t{0}, uint64_t{1} << 20, uint64_t{1} << 61, ~uint64_t{0}}) {
      if (value == 0 && (field == 6 || field == 7)) continue;  // what they are
      INFO("field " << field << " = " << value);
      const std::string log = log_after([&](std::string& bytes) {
        char* footer = bytes.data() + bytes.size() - kFooter;
        std::memcpy(footer + 8 * field, &value, 8);
        const std::string digest = hash_bytes({footer, kFooter - kDigest});
        std::memcpy(footer + kFooter - kDigest, digest.data(), kDigest);
      });
      CHECK(contains(log, "is not used: its "));
    }
  }
}

TEST_CASE("cache: follows its source") {
  TemporaryFolder folder;
  small_listops(folder.path());
  const std::string before = open_train(options_at(folder.path())).fingerprint();
  small_listops(folder.path(), "Source\tTarget\n3\t3\n");
  LogObserver log;
  const Dataset changed = open_train(options_at(folder.path()));
  CHECK(changed.size() == 1);
  CHECK(changed.fingerprint() != before);
  CHECK(log.has("is not used: the data files or the reader have changed"));

  const auto time =
      fs::last_write_time(folder.path() / "basic_train.tsv");  // same size, other contents, other time
  small_listops(folder.path(), "Source\tTarget\n4\t4\n");
  fs::last_write_time(folder.path() / "basic_train.tsv", time + std::chrono::seconds(1));
  CHECK(open_train(options_at(folder.path())).label(0) == 4);
}

TEST_CASE("cache: equal examples have equal fingerprints wherever they lie") {
  TemporaryFolder one, other;
  small_listops(one.path());
  std::string crlf = kTwoRows;
  for (size_t at = 0; (at = crlf.find('\n', at)) != std::string::npos; at += 2) crlf.insert(at, "\r");
  small_listops(other.path() / "listops-1000", crlf);
  const std::string fingerprint = open_train(options_at(one.path())).fingerprint();
  CHECK(fingerprint.size() == 32);
  CHECK(open_train(options_at(other.path())).fingerprint() == fingerprint);
  small_listops(one.path(), "Source\tTarget\n( ( ( [MAX 3 ) 4 ) ] )\t4\n( ( ( [SM 7 ) 6 ) ] )\t3\n");
  CHECK(open_train(options_at(one.path())).fingerprint() != fingerprint);
}

TEST_CASE("cache: one that never saw the labels verified does not hide a wrong label") {
  TemporaryFolder folder;
  small_listops(folder.path(), "Source\tTarget\n( ( ( [MAX 3 ) 4 ) ] )\t3\n");
  DataOptions options = options_at(folder.path());
  CHECK(open_train(options).label(0) == 3);
  options.verify_labels = true;
  CHECK(contains(error_of([&] { open_train(options); }),
                 "basic_train.tsv:2: label 3, but the value of the expression is 4"));
}

TEST_CASE("cache: rebuild_cache reads the files again") {
  TemporaryFolder folder;
  small_listops(folder.path());
  DataOptions options = options_at(folder.path());
  open_train(options);
  const auto time = fs::last_write_time(folder.path() / "basic_train.tsv");
  small_listops(folder.path(), "Source\tTarget\n( ( ( [MAX 3 ) 4 ) ] )\t4\n( ( ( [SM 7 ) 5 ) ] )\t3\n");
  fs::last_write_time(folder.path() / "basic_train.tsv", time);  // a change that identity cannot show
  CHECK(open_train(options).label(1) == 2);
  options.rebuild_cache = true;
  CHECK(open_train(options).label(1) == 3);
}

TEST_CASE("cache: elsewhere when it cannot lie beside the data") {
  TemporaryFolder folder, elsewhere;
  small_listops(folder.path());
  write_text(folder.path() / ".lotformer-cache", "a file where the folder should be");
  ::setenv("XDG_CACHE_HOME", elsewhere.path().c_str(), 1);
  LogObserver log;
  CHECK(open_train(options_at(folder.path())).size() == 2);
  CHECK(log.has("cannot be written; caches go to " + (elsewhere.path() / "lotformer").string()));
  CHECK(open_train(options_at(folder.path())).size() == 2);
  CHECK(log.text().find("caches go to") == log.text().rfind("caches go to"));  // said once
  ::unsetenv("XDG_CACHE_HOME");
  const fs::path temporary = elsewhere.path() / "tmp";
  fs::create_directory(temporary);
  ::setenv("TMPDIR", temporary.c_str(), 1);
  CHECK(open_train(options_at(folder.path())).size() == 2);
  ::unsetenv("TMPDIR");
  CHECK(!fs::is_empty(temporary));
}

TEST_CASE("cache: a link in the place of its folder or lock is not followed") {
  TemporaryFolder folder, outside, elsewhere;
  small_listops(folder.path());
  fs::create_directory_symlink(outside.path(), folder.path() / ".lotformer-cache");
  ::setenv("XDG_CACHE_HOME", elsewhere.path().c_str(), 1);
  {
    LogObserver log;
    CHECK(open_train(options_at(folder.path())).size() == 2);
    CHECK(log.has(".lotformer-cache is a link, which is not followed; caches go to " +
                  (elsewhere.path() / "lotformer").string()));
  }
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(fs::is_empty(outside.path()));
  fs::remove(folder.path() / ".lotformer-cache");
  open_train(options_at(folder.path()));
  const fs::path lock = folder.path() / ".lotformer-cache/lock";
  REQUIRE(fs::remove(lock));
  fs::create_symlink(outside.path() / "made", lock);
  DataOptions options = options_at(folder.path());
  options.rebuild_cache = true;
  CHECK(contains(error_of([&] { open_train(options); }), "cannot be created"));
  CHECK(fs::is_empty(outside.path()));
}

TEST_CASE("cache: a stale one beside data that cannot be written says why it is not used") {
  TemporaryFolder folder, elsewhere;
  small_listops(folder.path());
  open_train(options_at(folder.path()));
  write_text(folder.path() / "basic_train.tsv", kTwoRows + "( ( ( [MAX 3 ) 5 ) ] )\t5\n");
  // Nothing can be written there by anybody: the folder is a link, which is read but not written through.
  const fs::path caches = folder.path() / ".lotformer-cache";
  fs::rename(caches, folder.path() / "moved");
  fs::create_directory_symlink("moved", caches);
  ::setenv("XDG_CACHE_HOME", elsewhere.path().c_str(), 1);
  LogObserver log;
  CHECK(open_train(options_at(folder.path())).size() == 3);
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(log.has(
      ".lotformer-cache/train-default-2000.cache is not used: the data files or the reader have changed; it "
      "cannot be replaced there"));
}

TEST_CASE("cache: a folder in its place is named") {
  TemporaryFolder folder;
  small_listops(folder.path());
  const fs::path cache = cache_file(folder.path());
  fs::create_directories(cache);
  CHECK(error_of([&] { open_train(options_at(folder.path())); }) ==
        concat("5: ", cache.string(), ": a folder lies where a cache belongs; remove it"));
}

TEST_CASE("cache: leftovers of killed builds go, foreign files stay") {
  TemporaryFolder folder;
  small_listops(folder.path());
  const fs::path directory = folder.path() / ".lotformer-cache";
  write_text(directory / "train-default-2000.cache.tmp-99999", "half");
  write_text(directory / "notes", "mine");
  open_train(options_at(folder.path()));
  CHECK(!fs::exists(directory / "train-default-2000.cache.tmp-99999"));
  CHECK(fs::exists(directory / "notes"));
}

TEST_CASE("cache: two processes at once") {
  TemporaryFolder folder;
  std::string rows = "Source\tTarget\n";
  for (int i = 0; i < 20000; ++i) rows += "( ( ( [MAX 3 ) 4 ) ] )\t4\n";
  small_listops(folder.path(), rows);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool good = false;
      try {
        const Dataset train = open_train(options_at(folder.path()));
        good = train.size() == 20000 && train.length(19999) == 4;
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

}  // namespace
}  // namespace lotformer::data::test
