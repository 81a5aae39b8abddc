// SPDX-License-Identifier: MIT
#include "train/run/run_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "lotformer/core/file_system.h"
#include "train/checkpoint_support.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;
using test::best_at;
using test::contains;
using test::flip_bit;
using test::message_of;
using test::TemporaryFolder;
using test::Warnings;
using test::write_step;
using test::write_text;

TEST_CASE("run folder: names of checkpoints sort by step, others are not checkpoints") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path() / "run");
  CHECK(run.steps().empty());
  CHECK_FALSE(run.latest_whole().has_value());
  CHECK(run.checkpoint_folder(1000).filename() == "step-00001000");
  CHECK(run.checkpoint_folder(123456789).filename() == "step-123456789");
  for (const char* name : {"step-00000010", "step-00000002", "step-123456789", "step-1", "step-0000000a",
                           "step-000000011", ".tmp-step-00000003-1", "discarded-step-00000004",
                           "step-00000005.bak", "step-99999999999999999999"}) {
    fs::create_directories(run.checkpoints_folder() / name);
  }
  CHECK(run.steps() == std::vector<int64_t>{123456789, 10, 2});
}

TEST_CASE("run folder: a damaged checkpoint is passed over with a warning that names it") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2, 3}) write_step(run.checkpoint_folder(step), step);
  {
    Warnings warnings;
    CHECK(run.latest_whole()->step == 3);
    CHECK(warnings.list.empty());
  }
  flip_bit(run.checkpoint_folder(3) / kModelFile, 999);
  fs::remove(run.checkpoint_folder(2) / kOptimizerFile);
  {
    Warnings warnings;
    const auto found = run.latest_whole();
    REQUIRE(found.has_value());
    CHECK(found->step == 1);
    REQUIRE(warnings.list.size() == 3);
    CHECK(contains(warnings.list[0], (run.checkpoint_folder(3) / kModelFile).string() + ": is damaged"));
    CHECK(contains(warnings.list[1], (run.checkpoint_folder(2) / kOptimizerFile).string() + ": is missing"));
    CHECK(contains(warnings.list[2], "step 1 instead"));
  }
  // A whole checkpoint under another step's name is not that step's.
  fs::rename(run.checkpoint_folder(1), run.checkpoint_folder(9));
  Warnings warnings;
  const std::string message = message_of(ErrorKind::checkpoint, [&] { run.latest_whole(); });
  CHECK(contains(message, "none of 3 checkpoints is whole"));
  CHECK(contains(message, "is of step 1, the folder's name says 9"));
  CHECK(warnings.list.size() == 3);
}

TEST_CASE("run folder: a checkpoint that a killed replacement has moved away gets its name back") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2}) write_step(run.checkpoint_folder(step), step);
  const auto displaced = [&](int64_t step) {
    return run.checkpoints_folder() / (".tmp-" + run.checkpoint_folder(step).filename().string() + "-77-old");
  };
  fs::rename(run.checkpoint_folder(2), displaced(2));
  fs::copy(run.checkpoint_folder(1), displaced(1), fs::copy_options::recursive);
  {
    Warnings warnings;
    run.restore_displaced();
    CHECK(warnings.list.size() == 1);
  }
  CHECK(run.latest_whole()->step == 2);
  CHECK(fs::exists(displaced(1)));  // its name is taken: the new one is in place, this is a leftover
  run.remove_leftovers();
  CHECK(!fs::exists(displaced(1)));
}

TEST_CASE("run folder: an unreadable entry under a checkpoint's name is damage, not a crash") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  write_step(run.checkpoint_folder(1), 1);
  write_text(run.checkpoint_folder(2), "a file");
  fs::create_directories(run.checkpoint_folder(3));
  fs::create_symlink("nowhere", run.checkpoint_folder(4));
  Warnings warnings;
  CHECK(run.latest_whole()->step == 1);
  CHECK(warnings.list.size() == 4);
}

TEST_CASE("run folder: prune keeps the newest, the best, and the best of each that it keeps") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2, 3, 4, 5, 6})
    write_step(run.checkpoint_folder(step), step, best_at(step < 6 ? 2 : 6));
  run.prune(3, 1);
  CHECK(run.steps() == std::vector<int64_t>{6, 5, 4, 2, 1});
  run.prune(2, 6);
  CHECK(run.steps() == std::vector<int64_t>{6, 5, 2});  // 2 is what a resume at 5 would call the best
  run.prune(0, 6);                                      // the newest always stays
  CHECK(run.steps() == std::vector<int64_t>{6});
  CHECK(test::names_in(run.checkpoints_folder()) == std::vector<std::string>{"step-00000006"});
  CHECK(run.latest_whole()->step == 6);
  flip_bit(run.checkpoint_folder(6) / kStateFile, 0);
  write_step(run.checkpoint_folder(7), 7);
  run.prune(2, std::nullopt);
  CHECK(run.steps() == std::vector<int64_t>{7, 6});
}

TEST_CASE("run folder: a read that fails for a while costs no checkpoint") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2}) write_step(run.checkpoint_folder(step), step);
  // No descriptor is left (EMFILE): the same for permissions and a failing disk.
  const auto with_few_descriptors = [&](rlim_t count) {
    return test::exit_code_with_limit(RLIMIT_NOFILE, count, [&] {
      const auto newest = run.latest_whole();
      throw Error(newest->step == 2 ? ErrorKind::interrupted : ErrorKind::internal, "read");
    });
  };
  CHECK(with_few_descriptors(3) == 5);
  CHECK(with_few_descriptors(500) == 75);
  CHECK(test::names_in(run.checkpoints_folder()) ==
        std::vector<std::string>{"step-00000001", "step-00000002"});
}

TEST_CASE("run folder: a file of another size than the manifest's is refused before it is read") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2, 3}) write_step(run.checkpoint_folder(step), step);
  fs::resize_file(run.checkpoint_folder(3) / kModelFile, uint64_t{200} << 30);  // sparse
  fs::remove(run.checkpoint_folder(2) / kModelFile);
  REQUIRE(::mkfifo((run.checkpoint_folder(2) / kModelFile).c_str(), 0600) == 0);
  Warnings warnings;
  CHECK(run.latest_whole()->step == 1);
  REQUIRE(warnings.list.size() == 3);
  CHECK(contains(warnings.list[0], "has 214748364800 bytes, the manifest wants"));
  CHECK(contains(warnings.list[1], "is not a regular file"));
}

TEST_CASE("run folder: checkpoints later than the resumed one are set aside, not deleted") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path());
  for (const int64_t step : {1, 2, 3}) write_step(run.checkpoint_folder(step), step);
  {
    Warnings warnings;
    run.set_aside_newer_than(1);
    CHECK(warnings.list.size() == 2);
  }
  CHECK(run.steps() == std::vector<int64_t>{1});
  CHECK_FALSE(checkpoint_problem(run.checkpoints_folder() / "discarded-step-00000003").has_value());
  write_step(run.checkpoint_folder(3), 3);
  Warnings warnings;
  run.set_aside_newer_than(1);
  CHECK(fs::exists(run.checkpoints_folder() / "discarded-step-00000003-2"));
  run.prune(1, std::nullopt);
  CHECK(test::names_in(run.checkpoints_folder()).size() == 4);
}

TEST_CASE("run folder: a run or a checkpoint is resolved, or what is missing is said") {
  const TemporaryFolder folder("run");
  const RunFolder run(folder.path() / "run");
  using Which = WhichCheckpoint;
  const auto failure = [](const fs::path& path, Which which) {
    return message_of(ErrorKind::checkpoint, [&] { resolve_checkpoint(path, which); });
  };
  CHECK(contains(failure(run.root(), Which::best_or_last), "no such run or checkpoint folder"));
  fs::create_directories(run.root());
  CHECK(contains(failure(run.root(), Which::last), "neither a run"));
  fs::create_directories(run.checkpoints_folder());
  CHECK(contains(failure(run.root(), Which::last), "holds no checkpoint yet"));
  write_text(run.config_file(), "");
  CHECK(contains(failure(run.config_file(), Which::best), "is not a folder"));

  write_step(run.checkpoint_folder(1), 1);
  CHECK(resolve_checkpoint(run.root(), Which::best_or_last).step == 1);
  CHECK(contains(failure(run.root(), Which::best), "no evaluation has chosen a best checkpoint by step 1"));
  for (const int64_t step : {2, 3}) write_step(run.checkpoint_folder(step), step, best_at(2));
  CHECK(resolve_checkpoint(run.root(), Which::best_or_last).step == 2);
  CHECK(resolve_checkpoint(run.root(), Which::best).step == 2);
  CHECK(resolve_checkpoint(run.root(), Which::last).step == 3);
  CHECK(resolve_checkpoint(run.checkpoint_folder(1), Which::best_or_last).step == 1);
  message_of(ErrorKind::usage, [&] { resolve_checkpoint(run.checkpoint_folder(1), Which::best); });

  CHECK(resolve_checkpoint(run.checkpoint_folder(1) / "", Which::best_or_last).path.filename() ==
        "step-00000001");
  CHECK(resolve_checkpoint(run.checkpoint_folder(1) / ".", Which::best_or_last).path.filename() ==
        "step-00000001");

  fs::remove(run.checkpoint_folder(2) / kManifestFile);
  CHECK(contains(failure(run.root(), Which::best),
                 (run.checkpoint_folder(2) / kManifestFile).string() + ": is missing"));
  CHECK(contains(failure(run.checkpoint_folder(2), Which::best_or_last), "manifest.json: is missing"));
  Warnings warnings;
  CHECK(resolve_checkpoint(run.root(), Which::best_or_last).step == 3);
  CHECK(warnings.list.size() == 1);
  CHECK(parse_which_checkpoint("") == Which::best_or_last);
  CHECK(parse_which_checkpoint("best") == Which::best);
  CHECK(parse_which_checkpoint("last") == Which::last);
  CHECK(contains(message_of(ErrorKind::usage, [] { parse_which_checkpoint("first"); }), "'first'"));
}

TEST_CASE("append log: truncated at the checkpoint, it continues as if never interrupted") {
  const TemporaryFolder folder("log");
  const fs::path path = folder.path() / "metrics.jsonl";
  int64_t offset = 0;
  {
    AppendLog log(path);
    log.line({{"step", 1}, {"loss", 0.1}});
    log.sync();
    offset = log.offset();
    CHECK(offset == static_cast<int64_t>(fs::file_size(path)));
    log.line({{"step", 2}});
  }
  write_text(folder.path() / "want", read_file(path, ErrorKind::data));
  std::ofstream(path, std::ios::app) << "{\"step\":3";  // killed in the middle of a line
  {
    AppendLog log(path);
    log.truncate_to(offset);
    log.line({{"step", 2}});
  }
  CHECK(read_file(path, ErrorKind::data) == read_file(folder.path() / "want", ErrorKind::data));
  AppendLog log(path);
  CHECK(contains(message_of(ErrorKind::checkpoint, [&] { log.truncate_to(offset - 1); }),
                 path.string() + ": no line ends"));
  CHECK(
      contains(message_of(ErrorKind::checkpoint, [&] { log.truncate_to(1000); }),
               concat(path.string(), ": has ", log.offset(), " bytes, the checkpoint wants at least 1000")));
  log.truncate_to(0);
  CHECK(fs::file_size(path) == 0);
  CHECK(contains(message_of(ErrorKind::disk, [&] { AppendLog(folder.path() / "no" / "log"); }), "no/log"));
  CHECK(contains(message_of(ErrorKind::disk, [] { AppendLog("/dev/full"); }), "/dev/full"));
}

TEST_CASE("append log: a full disk is a disk error, and the next start continues at the checkpoint") {
  const TemporaryFolder folder("log");
  const fs::path path = folder.path() / "metrics.jsonl";
  const auto write_lines = [&] {
    AppendLog log(path);
    for (int step = 0; step < 1000; ++step) log.line({{"step", step}});
  };
  CHECK(test::exit_code_with_file_limit(1000, write_lines) == 5);
  CHECK(fs::file_size(path) == 1000);  // ends inside a line
  AppendLog log(path);
  log.truncate_to(11);
  CHECK(read_file(path, ErrorKind::data) == "{\"step\":0}\n");
}

}  // namespace
}  // namespace lotformer
