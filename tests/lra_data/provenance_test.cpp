// SPDX-License-Identifier: MIT
// The provenance record: found at every level, never passed over, believed only in what it can say.
#include <unistd.h>

#include <cstdlib>

#include "lotformer/data/check.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

void write_reviews(const fs::path& directory) {
  for (const char* split : {"train", "test"}) {
    write_text(directory / split / "neg/0_2.txt", "bad");
    write_text(directory / split / "pos/0_7.txt", "good");
  }
}

std::string origin(const std::string& task, const fs::path& root) {
  std::string result;
  const std::string error = error_of([&] { result = open_task(task, options_at(root))->data_origin(); });
  return error == "no error" ? result : error;
}

constexpr const char* kText = R"({"task": "text", "origin": "synthetic"})";

TEST_CASE("provenance: a record is found at every level, whichever of them is the root") {
  const std::string set = "lra_release/lra_release/pathfinder32/curv_contour_length_14";
  for (const std::string place :
       {"", "lra_release", "lra_release/lra_release", "lra_release/lra_release/pathfinder32", set.c_str()}) {
    TemporaryFolder folder;
    for (const char* entry : {"metadata", "imgs"}) fs::create_directories(folder.path() / set / entry);
    write_text(folder.path() / place / "SYNTHETIC.json", R"({"task": "pathfinder32"})");
    for (fs::path root = folder.path() / set;; root = root.parent_path()) {
      INFO("record in " << place << ", root " << root);
      CHECK(origin("pathfinder32", root) == "synthetic");
      if (root == folder.path()) break;
    }
    const fs::path link = folder.path() / "link";
    fs::create_directory_symlink(folder.path() / set, link);
    CHECK(origin("pathfinder32", link) == "synthetic");
    fs::remove(link);
    write_text(folder.path() / place / "SYNTHETIC.json", R"({"task": "text"})");
    if (place != set) CHECK(origin("pathfinder32", folder.path()) == "official");
  }
  TemporaryFolder folder;
  write_reviews(folder.path() / "aclImdb");
  write_text(folder.path() / "SYNTHETIC.json", kText);
  for (const char* root : {"", "aclImdb", "aclImdb/"})
    CHECK(origin("text", folder.path() / root) == "synthetic");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path() / "aclImdb");
  CHECK(origin("text", ".") == "synthetic");
  fs::current_path(before);
}

TEST_CASE("provenance: a record in the task's own folder that does not fit is refused") {
  TemporaryFolder folder;
  const fs::path set = folder.path() / "aclImdb";
  write_reviews(set);
  const auto with = [&](const std::string& record) {
    write_text(set / "SYNTHETIC.json", record);
    return origin("text", folder.path());
  };
  CHECK(with(kText) == "synthetic");
  CHECK(with("{}") == "synthetic");
  for (const char* task : {"image", "texts", ""})
    CHECK(with(concat(R"({"task": ")", task, R"("})")) ==
          concat("3: aclImdb/SYNTHETIC.json: is a record of the task '", task,
                 "', but lies with the files of text"));
  for (const char* task : {"null", "5", R"(["text"])"})
    CHECK(contains(with(concat(R"({"task": )", task, "}")), "3: aclImdb/SYNTHETIC.json: member 'task'"));
  // Above it a record of another task is none of ours, but one whose task cannot be told might be.
  fs::rename(set / "SYNTHETIC.json", folder.path() / "SYNTHETIC.json");
  CHECK(contains(origin("text", folder.path()), "3: SYNTHETIC.json: member 'task'"));
}

TEST_CASE("provenance: a link that leads nowhere is no absence") {
  TemporaryFolder folder;
  write_reviews(folder.path() / "aclImdb");
  fs::create_symlink("gone.json", folder.path() / "aclImdb/SYNTHETIC.json");
  CHECK(contains(origin("text", folder.path()), "3: aclImdb/SYNTHETIC.json: is a link that leads nowhere"));
}

TEST_CASE("provenance: only ListOps can be generated, everything else is synthetic") {
  TemporaryFolder folder;
  write_reviews(folder.path() / "aclImdb");
  small_listops(folder.path() / "listops-1000");
  write_text(folder.path() / "SYNTHETIC.json",
             to_line(Json{{"origin", "generated"}, {"parameters", to_json(ListopsParameters{})}}));
  CHECK(origin("text", folder.path()) == "synthetic");
  CHECK(origin("listops", folder.path()) == "generated");
}

/// What the check says of a set of four reviews whose record lists its folder `name`.
std::string checked(const std::string& name, const std::string& entry,
                    const std::function<void(const fs::path&)>& change) {
  TemporaryFolder folder;
  const fs::path set = folder.path() / "aclImdb";
  write_reviews(set);
  write_text(set / "SYNTHETIC.json",
             concat(R"({"task": "text", "folders": {")", name, R"(": )", entry, "}}"));
  change(set);
  return error_of([&] { check_task("text", options_at(folder.path())); });
}

TEST_CASE("provenance: files and bytes of the folders are compared by the check") {
  const auto nothing = [](const fs::path&) {};
  const auto longer = [](const fs::path& set) { write_text(set / "train/neg/0_2.txt", "bad, and more"); };
  CHECK(checked("train", R"({"files": 2, "bytes": 7})", nothing) == "no error");
  CHECK(checked("train", R"({"files": 2})", longer) == "no error");
  CHECK(checked("train", R"({"files": 3})", nothing) ==
        "3: aclImdb/train: has 2 files, 3 wanted by aclImdb/SYNTHETIC.json");
  CHECK(checked("train", R"({"files": 2, "bytes": 7})", longer) ==
        "3: aclImdb/train: its files have 17 bytes, 7 wanted by aclImdb/SYNTHETIC.json (changed since they "
        "were "
        "generated?)");
}

TEST_CASE("provenance: a folder that leads elsewhere is not walked") {
  TemporaryFolder outside;
  write_text(outside.path() / "file", "text");
  const auto link = [&](const fs::path& set) { fs::create_directory_symlink(outside.path(), set / "usr"); };
  CHECK(checked("usr", R"({"files": 1})", link) ==
        "3: aclImdb/usr: its path leaves the data directory by a link (data.follow_links: true reads it all "
        "the "
        "same)");
}

/// Permissions do not hold root back: another user looks meanwhile.
class OtherUser {
 public:
  OtherUser() : root_(::geteuid() == 0) {
    if (root_ && ::seteuid(65534) != 0) throw Error(ErrorKind::internal, "no other user");
  }
  ~OtherUser() {
    if (root_ && ::seteuid(0) != 0) std::abort();
  }
  OtherUser(const OtherUser&) = delete;
  OtherUser& operator=(const OtherUser&) = delete;

 private:
  bool root_;
};

TEST_CASE("data that may not be read are not missing") {
  TemporaryFolder folder;
  small_listops(folder.path() / "listops-1000");
  const fs::path set = folder.path() / "pathfinder32/curv_contour_length_14";
  for (const char* entry : {"imgs/0", ".lotformer-cache"}) fs::create_directories(set / entry);
  fs::permissions(set / ".lotformer-cache", fs::perms::all);
  write_text(set / "metadata/0.npy", "imgs/0 sample_0.png 0 1\n");
  write_reviews(folder.path() / "aclImdb");
  const auto error = [&](const std::string& task, const fs::path& closed) {
    fs::permissions(closed, fs::perms::none);
    std::string result;
    {
      const OtherUser other;
      DataOptions options = options_at(folder.path());
      options.generate_missing = task == "listops";
      options.strict_counts = task != "pathfinder32";
      result = error_of([&] { open_task(task, options)->open(Split::train); });
    }
    fs::permissions(closed, fs::perms::owner_all | fs::perms::group_all | fs::perms::others_all);
    return result;
  };
  const std::string why = "cannot be read: Permission denied";
  CHECK(contains(error("listops", folder.path() / "listops-1000"), "listops-1000/basic_train.tsv: " + why));
  CHECK(contains(error("pathfinder32", folder.path() / "pathfinder32"), why));
  CHECK(contains(error("pathfinder32", set / "imgs"), "imgs/0/sample_0.png: " + why));
  CHECK(contains(error("text", folder.path() / "aclImdb/train"), why));
}

}  // namespace
}  // namespace lotformer::data::test
