// SPDX-License-Identifier: MIT
// scripts/get_lra.sh against a web server of our own with good and bad answers.
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>

#include "../lra_data/support.h"
#include "support/catch.h"
#include "support/http_server.h"

namespace lotformer::data::test {
namespace {

using lotformer::test::HttpServer;

struct Result {
  int code = -1;
  std::string text;  // stdout and stderr
};

int shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// A folder that is served, a data root, and the script between them.
class Place {
 public:
  Place() : server_(path("served")) {
    const fs::path fixtures = fs::path(LOTFORMER_TEST_DATA) / "fixtures";
    archive("text.tar.gz", fixtures, "aclImdb");
    archive("image.tar.gz", fixtures, "cifar-10-batches-bin");
    archive("release.gz", fixtures, "lra_release");
    fs::copy(fixtures / "lra_release/lra_release/listops-1000", path("served") / "listops",
             fs::copy_options::recursive);
    environment_["LOTFORMER_DEPS_DIR"] = path("deps").string();
    environment_["LOTFORMER_DATA_PROGRAM"] = LOTFORMER_BIN_DIR "/lotformer-data";
    environment_["LOTFORMER_RETRY_SECONDS"] = "0";
    environment_["LRA_RELEASE_SPACE"] = "1000000";
    environment_["no_proxy"] = "127.0.0.1";
    use("text", "ok/text.tar.gz");
    use("image", "ok/image.tar.gz");
    environment_["LRA_RELEASE_URL"] = server_.url() + "/ok/release.gz";
    environment_["LRA_LISTOPS_URL"] = server_.url() + "/ok/listops";
  }

  fs::path path(const std::string& name) {
    fs::create_directories(folder_.path() / name);
    return folder_.path() / name;
  }
  fs::path root() const { return folder_.path() / "data"; }
  fs::path served(const std::string& name) const { return folder_.path() / "served" / name; }
  const HttpServer& server() const { return server_; }
  void set(const std::string& name, const std::string& value) { environment_[name] = value; }

  /// TASK comes from this path of the server; size and SHA-256 are those of the true file.
  void use(const std::string& task, const std::string& where) {
    const std::string upper = task == "text" ? "TEXT" : "IMAGE";
    const fs::path file = served(task + ".tar.gz");
    environment_["LRA_" + upper + "_URL"] = server_.url() + "/" + where;
    environment_["LRA_" + upper + "_BYTES"] = std::to_string(fs::file_size(file));
    environment_["LRA_" + upper + "_SHA256"] = sha256(file);
  }

  Result run(const std::string& arguments) {
    std::string command;
    for (const auto& [name, value] : environment_) command += concat(name, "='", value, "' ");
    const fs::path out = folder_.path() / "out";
    command += concat("bash '", LOTFORMER_SOURCE_DIR, "/scripts/get_lra.sh' --root '", root().string(), "' ",
                      arguments, " >'", out.string(), "' 2>&1 </dev/null");
    const int code = shell(command);
    return {code, read_text(out)};
  }

  void archive(const std::string& name, const fs::path& from, const std::string& member) {
    REQUIRE(shell(concat("tar -czf '", served(name).string(), "' -C '", from.string(), "' ", member)) == 0);
  }

 private:
  std::string sha256(const fs::path& file) {
    const fs::path out = folder_.path() / "sum";
    REQUIRE(shell(concat("sha256sum '", file.string(), "' >'", out.string(), "'")) == 0);
    return read_text(out).substr(0, 64);
  }
  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
  HttpServer server_;
};

int64_t asked_from(const Place& place, const std::string& request) {
  const auto all = place.server().requests();
  return std::count(all.begin(), all.end(), request);
}

TEST_CASE("get_lra: without a task it explains, without a yes it fetches nothing") {
  Place place;
  const Result help = place.run("");
  CHECK(help.code == 0);
  for (const char* word : {"pathfinder256", "8.2 GB", "aan.how", "Maas"}) CHECK(contains(help.text, word));
  const Result plan = place.run("--task text");
  CHECK(plan.code == 2);
  CHECK(contains(plan.text, "nothing was fetched"));
  CHECK(place.run("--task imagenet --yes").code == 2);
  CHECK(place.run("--frobnicate").code == 2);
  CHECK(place.run("--task").code == 2);
  CHECK(place.server().requests().empty());
  CHECK(!fs::exists(place.root() / "aclImdb"));
}

TEST_CASE("get_lra: good answers are verified, unpacked, checked, and not fetched twice") {
  Place place;
  const Result made = place.run("--task text --task listops --yes");
  INFO(made.text);
  CHECK(made.code == 0);
  CHECK(contains(made.text, "text in "));
  CHECK(contains(made.text, "listops in "));
  CHECK(fs::exists(place.root() / "aclImdb/train/neg/2_2.txt"));
  CHECK(fs::exists(place.root() / "listops-1000/basic_val.tsv"));
  CHECK(!fs::exists(place.root() / ".downloads"));
  const size_t requests = place.server().requests().size();
  CHECK(place.run("--task text --task listops --yes").code == 0);
  CHECK(place.server().requests().size() == requests);
}

TEST_CASE("get_lra: of the release only what was asked for is unpacked") {
  Place place;
  const Result made = place.run("--task retrieval --keep --yes");
  INFO(made.text);
  CHECK(made.code == 0);
  CHECK(contains(made.text, "retrieval in "));
  CHECK(fs::exists(place.root() / "lra_release/lra_release/tsv_data/new_aan_pairs.eval.tsv"));
  CHECK(!fs::exists(place.root() / "lra_release/lra_release/pathfinder32"));
  CHECK(fs::exists(place.root() / ".downloads/release.tar.gz"));
  CHECK(place.run("--task pathfinder32 --no-check --yes").code == 0);  // from the archive that was kept
  CHECK(fs::exists(place.root() / "lra_release/lra_release/pathfinder32/curv_contour_length_14/metadata"));
  CHECK(asked_from(place, "GET /ok/release.gz from 0") == 1);
  const Result absent = place.run("--task pathfinder256 --yes");  // not in this archive
  CHECK(absent.code == 3);
  CHECK(contains(absent.text, "no whole tar.gz archive with lra_release/lra_release/pathfinder256"));
}

TEST_CASE("get_lra: redirections are followed, endless ones are not") {
  Place place;
  place.use("text", "redirect/text.tar.gz");
  CHECK(place.run("--task text --yes").code == 0);
  place.use("image", "loop/image.tar.gz");
  const Result loop = place.run("--task image --yes");
  CHECK(loop.code == 3);
  CHECK(contains(loop.text, "redirects without end"));
}

TEST_CASE("get_lra: a closed link says what else can be done") {
  Place place;
  place.use("text", "forbidden/text.tar.gz");
  const Result text = place.run("--task text --yes");
  CHECK(text.code == 3);
  CHECK(contains(text.text, "the server answers 403"));
  CHECK(contains(text.text, ".downloads/text.tar.gz"));
  CHECK(contains(text.text, "generate --task text"));
  place.set("LRA_LISTOPS_URL", place.server().url() + "/forbidden/listops");
  CHECK(contains(place.run("--task listops --yes").text, "generate --task listops"));
  place.set("LRA_RELEASE_URL", place.server().url() + "/forbidden/release.gz");
  const Result release = place.run("--task retrieval --yes");
  CHECK(release.code == 3);
  for (const char* word : {"403", "aan.how", "terms", "nobody has verified"})
    CHECK(contains(release.text, word));
  // The file from elsewhere, at the place that the message names.
  fs::create_directories(place.root() / ".downloads");
  fs::copy_file(place.served("text.tar.gz"), place.root() / ".downloads/text.tar.gz");
  CHECK(place.run("--task text --yes").code == 0);
}

TEST_CASE("get_lra: a broken connection is resumed, in the same call and in the next") {
  Place place;
  place.use("text", "cut/text.tar.gz");
  const auto size = static_cast<int64_t>(fs::file_size(place.served("text.tar.gz")));
  const Result broken = place.run("--task text --yes");
  CHECK(broken.code == 3);
  CHECK(contains(broken.text, "the connection broke again and again"));
  CHECK(asked_from(place, concat("GET /cut/text.tar.gz from ", size / 2)) == 1);
  CHECK(!fs::exists(place.root() / "aclImdb"));
  const fs::path part = place.root() / ".downloads/text.tar.gz.part";
  const auto fetched = static_cast<int64_t>(fs::file_size(part));
  CHECK(fetched > size / 2);
  CHECK(fetched < size);
  place.use("text", "ok/text.tar.gz");
  CHECK(place.run("--task text --yes").code == 0);
  CHECK(asked_from(place, concat("GET /ok/text.tar.gz from ", fetched)) == 1);
  CHECK(fs::exists(place.root() / "aclImdb/test/pos"));
}

TEST_CASE("get_lra: a busy server is asked again") {
  Place place;
  place.use("text", "busy/text.tar.gz");
  CHECK(place.run("--task text --yes").code == 0);
  CHECK(asked_from(place, "GET /busy/text.tar.gz from 0") == 3);
}

TEST_CASE("get_lra: a server without ranges, and pieces of different files") {
  Place place;
  write_text(place.root() / ".downloads/text.tar.gz.part", "the beginning of something");
  place.use("text", "whole/text.tar.gz");
  CHECK(place.run("--task text --yes").code == 0);
  Place other;
  write_text(other.root() / ".downloads/text.tar.gz.part", "the beginning of something");
  const Result mended = other.run("--task text --yes");
  INFO(mended.text);
  CHECK(mended.code == 0);
  CHECK(contains(mended.text, "do not fit together"));
}

TEST_CASE("get_lra: damaged and wrong files are refused and removed") {
  Place place;
  place.use("text", "corrupt/text.tar.gz");
  const Result corrupt = place.run("--task text --yes");
  CHECK(corrupt.code == 3);
  CHECK(contains(corrupt.text, "its SHA-256 is not"));
  CHECK(!fs::exists(place.root() / ".downloads/text.tar.gz"));
  CHECK(!fs::exists(place.root() / "aclImdb"));
  place.use("text", "ok/text.tar.gz");
  place.set("LRA_TEXT_BYTES", "7");
  const Result size = place.run("--task text --yes");
  CHECK(size.code == 3);
  CHECK(contains(size.text, "7 wanted"));
  place.set("LRA_RELEASE_URL", place.server().url() + "/corrupt/release.gz");  // no checksum: gzip's own
  const Result release = place.run("--task retrieval --yes");
  CHECK(release.code == 3);
  CHECK(contains(release.text, "no whole tar.gz archive"));
  // What the check finds is the script's own verdict: CIFAR-10 has 10,000 images a file, the fixtures 50.
  const Result image = place.run("--task image --yes");
  CHECK(image.code == 3);
  CHECK(contains(image.text, "lotformer-data: error: "));
}

TEST_CASE("get_lra: the length of a redirect is not that of the file") {
  Place place;
  place.use("text", "landing/text.tar.gz");
  place.set("LRA_TEXT_BYTES", "unknown");
  const Result made = place.run("--task text --yes");
  INFO(made.text);
  CHECK(made.code == 0);
  CHECK(asked_from(place, "GET /streamed/text.tar.gz from 0") == 1);
}

TEST_CASE("get_lra: a size that only the server names costs no bytes that are there") {
  for (const char* manner : {"landing", "modest"}) {
    INFO(manner);
    Place place;
    const std::string whole = read_text(place.served("text.tar.gz"));
    place.use("text", concat(manner, "/text.tar.gz"));
    place.set("LRA_TEXT_BYTES", "unknown");
    const fs::path part = place.root() / ".downloads/text.tar.gz.part";
    write_text(part, whole.substr(0, 1000));
    const Result made = place.run("--task text --yes");
    INFO(made.text);
    CHECK(asked_from(place, concat("GET /", manner, "/text.tar.gz from 1000")) == 1);
    CHECK(made.code == (manner == std::string("modest") ? 3 : 0));  // without ranges: from the beginning
    if (manner == std::string("modest")) {
      CHECK(contains(made.text,
                     concat("has ", whole.size(), " bytes, but its server named 20. They are kept")));
      CHECK(read_text(part) == whole);
    }
  }
}

TEST_CASE("get_lra: a page instead of ListOps is refused and removed") {
  Place place;
  place.set("LRA_LISTOPS_URL", place.server().url() + "/login/listops");
  const Result page = place.run("--task listops --yes");
  CHECK(page.code == 3);
  CHECK(contains(page.text, "no ListOps file: its first line is '<html>[31mplease log in</html>'"));
  CHECK(!contains(page.text, "\x1b"));
  CHECK(!fs::exists(place.root() / "listops-1000"));
  place.set("LRA_LISTOPS_URL", place.server().url() + "/ok/listops");
  CHECK(place.run("--task listops --yes").code == 0);
}

TEST_CASE("get_lra: names that the programs accept are found, and what the check refuses is named") {
  Place place;
  const fs::path fixtures = fs::path(LOTFORMER_TEST_DATA) / "fixtures/lra_release/lra_release";
  const auto put = [&](const char* from, const char* to) {
    fs::create_directories((place.root() / to).parent_path());
    fs::copy(fixtures / from, place.root() / to, fs::copy_options::recursive);
  };
  put("listops-1000", "listops");
  put("tsv_data", "lra_release/aan");
  put("pathfinder32", "pathfinder/pathfinder32");
  const Result found = place.run("--task listops --task retrieval --yes");
  INFO(found.text);
  CHECK(found.code == 0);
  const Result images = place.run("--task pathfinder32 --yes");
  CHECK(images.code == 3);  // 60 of 200,000
  CHECK(contains(images.text, concat("remove ", place.root().string(), "/pathfinder/pathfinder32, then")));
  CHECK(place.server().requests().empty());
}

TEST_CASE("get_lra: members that lead elsewhere are not unpacked") {
  Place place;
  const fs::path evil = place.path("evil");
  fs::create_directories(evil / "aclImdb");
  fs::create_symlink("/etc", evil / "aclImdb/train");
  place.archive("text.tar.gz", evil, "aclImdb");
  place.use("text", "ok/text.tar.gz");
  const Result link = place.run("--task text --yes");
  CHECK(link.code == 3);
  CHECK(contains(link.text, "no plain file"));
  CHECK(!fs::exists(place.root() / "aclImdb"));
  write_text(evil / "out.txt", "out");
  fs::remove_all(evil / "aclImdb");
  fs::create_directories(evil / "aclImdb");
  REQUIRE(shell(concat("tar -czPf '", place.served("text.tar.gz").string(), "' -C '", evil.string(),
                       "' --transform 's,out.txt,aclImdb/../../../out.txt,' aclImdb out.txt")) == 0);
  place.use("text", "ok/text.tar.gz");
  fs::remove_all(place.root() / ".downloads");
  const Result climb = place.run("--task text --yes");
  CHECK(climb.code == 3);
  CHECK(contains(climb.text, "holds 'aclImdb/../../../out.txt'"));
}

TEST_CASE("get_lra: the disk for archive, files and the caches of the check") {
  struct Case {
    const char *arguments, *free,
        *need;  // bytes that are free; what is needed, or null when that is enough to begin
  };
  for (const Case& c :
       {Case{"--task listops", "790000000", "needs about 763.0MiB"},
        Case{"--task listops", "810000000", nullptr},
        Case{"--task text", "690000000", "needs about 667.6MiB"}, Case{"--task text", "710000000", nullptr},
        Case{"--task image", "440000000", "needs about 429.2MiB"}, Case{"--task image", "460000000", nullptr},
        Case{"--task pathx", "26800000000", "needs about 25.0GiB"},
        Case{"--task pathx", "26900000000", nullptr},
        Case{"--task pathx --keep", "30000000000", "needs about 28.1GiB"},
        Case{"--task pathfinder256", "31700000000", "needs about 29.6GiB"},
        Case{"--task pathfinder256 --no-check", "26900000000", nullptr},
        Case{"--task pathx --task pathfinder256", "34900000000", "needs about 32.6GiB"},
        Case{"--task pathx --task pathfinder256", "35100000000", nullptr}}) {
    INFO(c.arguments << ", " << c.free << " bytes free");
    Place place;
    place.set("LRA_RELEASE_SPACE", "");
    const fs::path df = place.path("bin") / "df";
    write_text(df, concat("#!/bin/sh\necho header\necho fs 1 1 ", c.free, " 1% /\n"));
    fs::permissions(df, fs::perms::owner_all);
    place.set("PATH", concat(df.parent_path().string(), ":", std::getenv("PATH")));
    for (const char* url : {"LRA_RELEASE_URL", "LRA_LISTOPS_URL", "LRA_TEXT_URL", "LRA_IMAGE_URL"})
      place.set(url, place.server().url() + "/ok/absent.gz");  // a fetch that begins ends with 3
    const Result result = place.run(concat(c.arguments, " --yes"));
    INFO(result.text);
    CHECK(result.code == (c.need == nullptr ? 3 : 5));
    CHECK((c.need == nullptr || contains(result.text, c.need)));
  }
}

TEST_CASE("get_lra: too little disk and synthetic data in the way") {
  Place place;
  place.set("LRA_RELEASE_SPACE", "1000000000000000000");
  const Result disk = place.run("--task pathx --yes");
  CHECK(disk.code == 5);
  CHECK(contains(disk.text, "of free disk"));
  CHECK(place.server().requests().empty());
  write_text(place.root() / "aclImdb/SYNTHETIC.json", "{}");
  const Result synthetic = place.run("--task text --yes");
  CHECK(synthetic.code == 3);
  CHECK(contains(synthetic.text, "holds synthetic data"));
}

}  // namespace
}  // namespace lotformer::data::test
