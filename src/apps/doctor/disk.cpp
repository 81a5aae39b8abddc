// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <chrono>
#include <vector>

#include "apps/doctor/checks.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"

namespace lotformer::doctor {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kWritten = int64_t{32} << 20;
constexpr int64_t kLittle = int64_t{2} << 30, kTooLittle = int64_t{64} << 20;
constexpr double kSlow = 10.0 * (1 << 20);  // bytes a second: a checkpoint would be felt

fs::path nearest_existing(fs::path folder) {
  folder = fs::absolute(folder).lexically_normal();
  std::error_code code;
  while (!fs::is_directory(folder, code) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

/// Bytes a second of a write that has reached the disk.
double write_speed(const fs::path& file) {
  const std::vector<char> block(size_t{1} << 20, 'x');
  const auto start = std::chrono::steady_clock::now();
  FileWriter writer(file, FileWriter::Open::fresh);
  for (int64_t done = 0; done < kWritten; done += static_cast<int64_t>(block.size()))
    writer.write(block.data(), block.size());
  writer.commit();
  return static_cast<double>(kWritten) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A file of ours that goes with the scope.
class Trial {
 public:
  explicit Trial(const fs::path& folder) : path_(folder / concat(".tmp-lotformer-doctor-", ::getpid())) {}
  ~Trial() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Place {
  const char* topic;
  fs::path folder;
  const char* option;
  /// Of a folder that cannot be written.
  Verdict closed;
  const char* consequence;
};

void check_place(Report& report, const Place& place) {
  if (std::error_code code; fs::exists(place.folder, code) && !fs::is_directory(place.folder, code)) {
    report.problem(place.topic, place.folder.string() + " is no folder",
                   concat("another name with ", place.option));
    return;
  }
  const fs::path folder = nearest_existing(place.folder);
  const std::string name =
      place.folder.string() +
      (folder == fs::absolute(place.folder).lexically_normal() ? "" : " (not there yet)");
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    const std::string text = concat(name, ": ", folder.string(), " cannot be written", place.consequence);
    const std::string remedy = concat("another folder with ", place.option, ", or its permissions");
    place.closed == Verdict::problem ? report.problem(place.topic, text, remedy)
                                     : report.warning(place.topic, text, remedy);
    return;
  }
  const int64_t free = free_disk_bytes(folder);
  if (free < kTooLittle + kWritten) {
    report.problem(place.topic, concat(name, ": ", format_bytes(free), " free"),
                   concat("make room, or another disk with ", place.option));
    return;
  }
  const Trial trial(folder);
  const double speed = write_speed(trial.path());
  const auto lock = FileLock::try_now(trial.path());
  const bool locks = lock && lock->held();
  const std::string text = concat(name, ": ", format_bytes(free), " free, ",
                                  format_bytes(static_cast<int64_t>(speed)), " a second");
  if (!locks)
    report.warning(place.topic, text + ", no file locks",
                   "let one program at a time write there, or take a local file system");
  else if (free < kLittle)
    report.warning(place.topic, text, "a run with its caches takes about 2 GiB");
  else if (speed < kSlow)
    report.warning(place.topic, text, "a larger train.checkpoint_every, or a local file system");
  else
    report.ok(place.topic, text);
}

}  // namespace

void check_disks(Report& report, const fs::path& runs, const fs::path& data) {
  const std::vector<Place> places = {
      {"runs", runs, "--runs (lotformer-train: --run-dir)", Verdict::problem, ""},
      {"data disk", data, "--root (data.root)", Verdict::warning,
       ", so caches go to $XDG_CACHE_HOME or the temporary folder"}};
  for (const Place& place : places) {
    try {
      check_place(report, place);
    } catch (const Error& error) {
      report.problem(place.topic, error.what(), concat("another folder with ", place.option));
    }
  }
}

}  // namespace lotformer::doctor
