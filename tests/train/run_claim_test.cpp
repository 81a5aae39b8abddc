// SPDX-License-Identifier: MIT
// Whose a folder is: ours only when it shows that it is, and nothing else is touched.
#include <sys/wait.h>

#include <fstream>

#include "lotformer/core/file_system.h"
#include "train/checkpoint_support.h"
#include "train/run/run_folder.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;
using test::contains;
using test::message_of;
using test::TemporaryFolder;
using test::write_step;
using test::write_text;
using State = RunFolder::State;

const RunMark kMark = {{{"train", {{"steps", 5}}}}, {{"train", "f1"}, {"val", "f2"}}, RunOrigin{"/a/b", 7}};

/// Every name below a folder with the content of files: what must not change.
std::vector<std::string> everything(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const bool file = entry.is_regular_file() && !entry.is_symlink();
    found.push_back(entry.path().string() + (file ? read_file(entry.path(), ErrorKind::data) : ""));
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST_CASE("run folder: the mark says what it was given; anything else under its name is no mark") {
  const TemporaryFolder folder("mark");
  const fs::path file = folder.path() / "run.json";
  CHECK_FALSE(read_mark(file).has_value());
  write_mark(file, kMark);
  const auto mark = read_mark(file);
  REQUIRE(mark.has_value());
  CHECK(mark->config == kMark.config);
  CHECK(mark->fingerprints == kMark.fingerprints);
  CHECK(mark->origin->path == "/a/b");
  CHECK(mark->origin->step == 7);
  write_mark(file, {});
  CHECK_FALSE(read_mark(file)->origin.has_value());
  for (const char* text :
       {"", "[]", "{}", R"({"format": "lotformer-run", "version": 2})", R"({"format": 1, "version": 1})",
        R"({"format": "lotformer-run", "version": 1, "config": [], "data_fingerprints": {}})",
        R"({"format": "lotformer-run", "version": 1, "config": {}, "data_fingerprints": {}, "origin": 1})"}) {
    INFO(text);
    write_text(file, text);
    CHECK(contains(message_of(ErrorKind::usage, [&] { read_mark(file); }), file.string()));
  }
}

TEST_CASE("run folder: other data are named, splits that were not recorded pass") {
  const Json recorded = {{"train", "a"}, {"val", "b"}};
  CHECK_NOTHROW(require_same_data("R", recorded, {{"train", "a"}, {"val", "b"}, {"test", "c"}}));
  CHECK_NOTHROW(require_same_data("R", nullptr, {{"train", "a"}}));
  const std::string message = message_of(ErrorKind::data, [&] {
    require_same_data("R", recorded, {{"train", "a"}, {"val", "x"}});
  });
  CHECK(contains(message, "R: the val split"));
  message_of(ErrorKind::data, [] { require_same_data("R", {{"val", 5}}, {{"val", "x"}}); });
}

TEST_CASE("run folder: absent, empty or begun in vain is vacant; with a log it is ours") {
  const TemporaryFolder folder("claim");
  const RunFolder run(folder.path() / "new" / "run");
  CHECK(run.state() == State::vacant);
  CHECK_FALSE(fs::exists(run.root()));
  fs::create_directories(run.checkpoints_folder());
  write_text(run.root() / ".lock", "4711\n");
  write_text(run.root() / "run.json.tmp-77", "{");
  write_step(run.checkpoints_folder() / ".tmp-step-00000002-77", 2);
  CHECK(run.state() == State::vacant);
  { const FileLock lock = run.begin({}); }
  write_text(run.config_file(), "a: 1");
  write_text(run.metrics_file(), "");
  CHECK(run.state() == State::vacant);  // no step was logged: other settings may begin here
  write_text(run.metrics_file(), "{}\n");
  CHECK(run.state() == State::ours);
  CHECK(contains(message_of(ErrorKind::usage, [&] { (void)run.begin({}); }), "meanwhile"));
  fs::remove(run.metrics_file());
  write_text(run.results_file(), "{}");
  CHECK(run.state() == State::ours);
  fs::remove(run.results_file());
  write_mark(run.mark_file(), kMark);  // was taking another run over
  CHECK(run.state() == State::ours);
}

TEST_CASE("run folder: a folder without our mark is a stranger's, whatever names it holds") {
  struct Case {
    const char* name;
    bool is_folder;
  };
  for (const Case& c : {Case{"notes.txt", false},
                        {"config.yaml", false},
                        {"metrics.jsonl", false},
                        {"results.json", false},
                        {"notes.tmp-old", true},
                        {"config.yaml.tmp-3", false},
                        {".tmp-mine", true},
                        {".lock", false},
                        {"checkpoints/notes", true}}) {
    INFO(c.name);
    const TemporaryFolder folder("claim");
    const RunFolder run(folder.path());
    fs::create_directories((run.root() / c.name).parent_path());
    if (c.is_folder) {
      fs::create_directories(run.root() / c.name);
      write_text(run.root() / c.name / "thesis", "text");
    } else {
      write_text(run.root() / c.name, "a user's");
    }
    const auto before = everything(folder.path());
    CHECK(contains(message_of(ErrorKind::usage, [&] { run.state(); }), "is no run of ours"));
    message_of(ErrorKind::usage, [&] {
      if (run.state() == State::vacant) (void)run.begin({});
    });
    CHECK(everything(folder.path()) == before);
  }
  const TemporaryFolder folder("claim");
  write_text(folder.path() / "file", "");
  CHECK(contains(message_of(ErrorKind::usage, [&] { RunFolder(folder.path() / "file").state(); }),
                 "no folder"));
}

TEST_CASE("run folder: whole checkpoints of a build that wrote no mark show whose it is") {
  const TemporaryFolder folder("claim");
  const RunFolder run(folder.path());
  write_text(run.config_file(), "a: 1");
  write_checkpoint(run.checkpoint_folder(3), {}, {},
                   {{"step", 3}, {"config", {{"a", 1}}}, {"data_fingerprints", {{"train", "f"}}}});
  CHECK(run.state() == State::ours);
  CHECK(run.mark().config == Json{{"a", 1}});
  CHECK(run.mark().fingerprints == Json{{"train", "f"}});
}

TEST_CASE("run folder: of what killed processes left only our own names are removed") {
  const TemporaryFolder folder("claim");
  const RunFolder run(folder.path() / "run");
  const FileLock lock = run.begin({});
  for (const char* name : {"results.json.tmp-77", "notes.tmp-77", "results.json.tmp-old"})
    write_text(run.root() / name, "{");
  for (const char* name : {".tmp-step-00000002-77", ".tmp-step-00000002-77-old",
                           ".tmp-pruned-step-00000001-8", ".tmp-adopted-4", ".tmp-mine", "step-00000001"})
    fs::create_directories(run.checkpoints_folder() / name);
  run.remove_leftovers();
  CHECK(test::names_in(run.root()) ==
        std::vector<std::string>{".lock", "checkpoints", "notes.tmp-77", "results.json.tmp-old", "run.json"});
  CHECK(test::names_in(run.checkpoints_folder()) == std::vector<std::string>{".tmp-mine", "step-00000001"});
}

TEST_CASE("run folder: nothing is written through a link, and none begins inside data") {
  const TemporaryFolder folder("claim");
  const RunFolder run(folder.path() / "run");
  { const FileLock lock = run.begin({}); }
  const fs::path target = folder.path() / "target";
  for (const char* name :
       {".lock", "metrics.jsonl", "timings.jsonl", "checkpoints", "config.yaml", "run.json"}) {
    INFO(name);
    const fs::path path = run.root() / name, aside = folder.path() / "aside";
    if (fs::exists(path)) fs::rename(path, aside);
    write_text(target, "precious");
    fs::create_symlink(target, path);
    CHECK(contains(message_of(ErrorKind::usage, [&] { run.state(); }), "is a link"));
    CHECK(read_file(target, ErrorKind::data) == "precious");
    fs::remove(path);
    if (fs::exists(aside)) fs::rename(aside, path);
  }
  // Both ways of writing refuse by themselves, too.
  fs::create_symlink(target, folder.path() / "log");
  message_of(ErrorKind::disk, [&] { AppendLog(folder.path() / "log"); });
  fs::create_symlink(target, folder.path() / concat("file.tmp-", ::getpid()));
  write_atomic(folder.path() / "file", "new");
  CHECK(read_file(target, ErrorKind::data) == "precious");

  for (const char* sign : {"SYNTHETIC.json", ".lotformer-cache"}) {
    const fs::path data = folder.path() / concat("data", sign);
    fs::create_directories(data);
    write_text(data / sign, "");
    const RunFolder inside(data / "runs" / "r");
    CHECK(inside.state() == State::vacant);
    CHECK(contains(message_of(ErrorKind::usage, [&] { inside.refuse_data_folder("elsewhere"); }),
                   "inside the data folder"));
    CHECK_FALSE(fs::exists(data / "runs"));
    message_of(ErrorKind::usage,
               [&] { RunFolder(folder.path() / "set/runs/r").refuse_data_folder(folder.path() / "set"); });
    RunFolder(folder.path() / "runs/r").refuse_data_folder(folder.path() / "set");
  }
}

TEST_CASE("run folder: two trainers never write the same run") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path() / "run");
  {
    const FileLock lock = run.begin({});
    const std::string message = message_of(ErrorKind::usage, [&] { (void)run.lock(); });
    CHECK(contains(message, run.root().string()));
    CHECK(contains(message, concat("(", ::getpid(), ")")));
    const pid_t child = ::fork();  // and another process, which does not inherit the right
    if (child == 0) {
      int code = 0;
      try {
        const FileLock second = run.begin({});
      } catch (const Error& error) {
        code = error.exit_code();
      }
      ::_exit(code);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 2);
  }
  const FileLock lock = run.lock();
}

}  // namespace
}  // namespace lotformer
