// SPDX-License-Identifier: MIT
// Whose a folder is, and how it becomes a run of ours.
#include <algorithm>
#include <regex>

#include "list_folder.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "run_folder.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLockFile = ".lock";
constexpr const char* kOurFiles[] = {"run.json",      "config.yaml",  "metrics.jsonl",
                                     "timings.jsonl", "results.json", ".lock"};

/// Error(disk) when the disk does not answer, which says nothing about whose folder it is.
fs::file_type type_of(const fs::path& path) {
  std::error_code code;
  const fs::file_type type = fs::symlink_status(path, code).type();
  if (code == std::errc::io_error)
    throw Error(ErrorKind::disk, concat(path.string(), ": cannot be looked at: ", code.message()));
  return type;
}

/// What write_atomic has in work: NAME.tmp-PID.
bool is_file_in_work(const fs::path& path, const char* of) {
  const std::string name = path.filename().string(), start = concat(of, ".tmp-");
  return type_of(path) == fs::file_type::regular && name.rfind(start, 0) == 0 && name.size() > start.size() &&
         name.find_first_not_of("0123456789", start.size()) == std::string::npos;
}

/// What write_checkpoint, prune and an adoption have in work.
bool is_checkpoint_in_work(const fs::path& path) {
  static const std::regex names(R"(\.tmp-((pruned-)?step-[0-9]{8,18}-[0-9]+(-old)?|adopted-[0-9]+))");
  return type_of(path) == fs::file_type::directory && std::regex_match(path.filename().string(), names);
}

/// A lock of ours holds a process id or nothing.
bool is_our_lock(const fs::path& path) {
  std::error_code code;
  if (path.filename() != kLockFile || type_of(path) != fs::file_type::regular) return false;
  const auto size = fs::file_size(path, code);
  if (code) throw Error(ErrorKind::disk, concat(path.string(), ": cannot be looked at: ", code.message()));
  return size == 0 || (size <= 24 && !FileLock::owner(path).empty());
}

/// Nothing is lost with it: what a start leaves that was killed before it wrote the mark.
bool comes_before_the_mark(const fs::path& path) {
  if (is_our_lock(path) || is_file_in_work(path, "run.json")) return true;
  if (path.filename() != "checkpoints" || type_of(path) != fs::file_type::directory) return false;
  const auto inside = list_folder(path);
  return std::all_of(inside.begin(), inside.end(), is_checkpoint_in_work);
}

void refuse_links(const RunFolder& run) {
  const auto refuse = [&run](const char* name) {
    if (type_of(run.root() / name) == fs::file_type::symlink)
      throw Error(ErrorKind::usage,
                  concat((run.root() / name).string(),
                         ": is a link, and nothing is written through links in a run folder; "
                         "remove it or take another --run-dir"));
  };
  for (const char* name : kOurFiles) refuse(name);
  for (const char* name : {"tensorboard", "profile", "evaluation"}) refuse(name);
  if (type_of(run.checkpoints_folder()) == fs::file_type::symlink)
    throw Error(ErrorKind::usage, run.checkpoints_folder().string() +
                                      ": is a link, and nothing is written through links in a run folder; "
                                      "put the folder that it names in its "
                                      "place, or make the run folder itself the link");
}

bool has_bytes(const fs::path& path) {
  std::error_code code;
  const auto size = fs::file_size(path, code);
  return !code && size > 0;
}

/// The nearest folder above that holds a data set: `data_root`, or one that has a provenance record, or a
/// cache beside its files.
fs::path data_folder_above(const fs::path& path, const fs::path& data_root) {
  const fs::path root = fs::weakly_canonical(fs::absolute(data_root));
  for (fs::path folder = fs::weakly_canonical(fs::absolute(path)); folder != folder.parent_path();
       folder = folder.parent_path()) {
    if (folder == root) return folder;
    for (const char* sign : {"SYNTHETIC.json", ".lotformer-cache"}) {
      std::error_code code;
      if (fs::exists(folder / sign, code)) return folder;
    }
  }
  return {};
}

void remove_with_a_line(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code) {
    log::warning(concat(path.string(), ": left by a stopped process, cannot be removed: ", code.message()));
  } else {
    log::info(path.string() + ": left by a stopped process, removed");
  }
}

/// Takes back what begin() made, unless somebody else has put something there.
void discard(const RunFolder& run) {
  std::error_code ignored;  // remove() takes files and empty folders
  fs::remove(run.checkpoints_folder(), ignored);
  fs::remove(run.root() / kLockFile, ignored);
  fs::remove(run.root(), ignored);
}

}  // namespace

std::vector<fs::path> list_folder(const fs::path& folder) {
  std::error_code code;
  if (!fs::exists(folder, code) && !code) return {};
  std::vector<fs::path> result;
  do {  // again when a signal interrupts it
    code.clear();
    result.clear();
    for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
      result.push_back(it->path());
  } while (code == std::errc::interrupted);
  if (code) throw Error(ErrorKind::disk, concat(folder.string(), ": cannot be read: ", code.message()));
  return result;
}

void RunFolder::restore_displaced() const {
  static const std::regex names(R"(\.tmp-(step-[0-9]{8,18})-[0-9]+-old)");
  for (const fs::path& path : list_folder(checkpoints_folder())) {
    std::smatch match;
    const std::string name = path.filename().string();
    if (!std::regex_match(name, match, names)) continue;
    const fs::path folder = checkpoints_folder() / match[1].str();
    if (type_of(folder) != fs::file_type::not_found) continue;
    std::error_code code;
    fs::rename(path, folder, code);
    if (code) throw Error(ErrorKind::disk, concat(path.string(), ": cannot be renamed: ", code.message()));
    log::warning(concat(folder.string(), ": was being replaced when the process was killed; it is back"));
  }
}

RunFolder::State RunFolder::state() const {
  std::error_code code;
  if (fs::exists(root_, code) && !fs::is_directory(root_, code))
    throw Error(ErrorKind::usage, root_.string() + ": is no folder; take another --run-dir");
  refuse_links(*this);
  if (const auto mark = read_mark(mark_file())) {
    const bool went_on = mark->origin || mark->init || !steps().empty() || has_bytes(metrics_file()) ||
                         has_bytes(timings_file()) || fs::exists(results_file(), code);
    return went_on ? State::ours : State::vacant;
  }
  const auto inside = list_folder(root_);
  const auto foreign = std::find_if_not(inside.begin(), inside.end(), comes_before_the_mark);
  if (foreign == inside.end()) return State::vacant;
  if (latest_whole()) return State::ours;  // begun by a build that wrote no mark
  throw Error(ErrorKind::usage, concat(root_.string(), ": holds ", quoted(foreign->filename().string(), 80),
                                       " and is no run of ours (no run.json, nor a whole checkpoint of an "
                                       "earlier build): nothing was touched; "
                                       "move it away, or take another --run-dir"));
}

RunMark RunFolder::mark() const {
  if (auto mark = read_mark(mark_file())) return std::move(*mark);
  const std::optional<Checkpoint> last = latest_whole();
  if (!last) throw Error(ErrorKind::usage, mark_file().string() + ": is missing");
  const std::string where = (last->path / kStateFile).string();
  return {json_get<Json>(last->state, "config", where, ErrorKind::checkpoint),
          last->state.value("data_fingerprints", Json::object())};
}

FileLock RunFolder::lock() const {
  const fs::path path = root_ / kLockFile;
  std::optional<FileLock> lock = FileLock::try_now(path);
  if (lock) return std::move(*lock);
  const std::string owner = FileLock::owner(path);
  throw Error(ErrorKind::usage,
              concat(root_.string(), ": another process", owner.empty() ? "" : " (" + owner + ")",
                     " is writing this run folder; wait for it or choose another --run-dir"));
}

void RunFolder::refuse_data_folder(const fs::path& data_root) const {
  if (const fs::path data = data_folder_above(root_, data_root); !data.empty())
    throw Error(ErrorKind::usage, concat(root_.string(), ": lies inside the data folder ", data.string(),
                                         "; take another --run-dir"));
}

FileLock RunFolder::begin(const RunMark& mark) const {
  const bool made_here = !fs::exists(root_);
  lotformer::create_directories(root_);
  FileLock lock = this->lock();
  try {
    if (state() != State::vacant)
      throw Error(ErrorKind::usage, root_.string() +
                                        ": another process has begun a run here meanwhile; run the same "
                                        "command again, or choose another --run-dir");
    lotformer::create_directories(checkpoints_folder());
    write_mark(mark_file(), mark);
  } catch (...) {
    if (made_here) discard(*this);
    throw;
  }
  // The folders' own names must survive a power cut, or the checkpoints in them do not.
  sync_directory(root_);
  try {
    sync_directory(fs::absolute(root_).lexically_normal().parent_path());
  } catch (const Error& error) {  // a parent that this user may enter but not list
    log::debug(error.what());
  }
  return lock;
}

void RunFolder::remove_leftovers() const {
  for (const fs::path& path : list_folder(root_)) {
    if (std::any_of(std::begin(kOurFiles), std::end(kOurFiles),
                    [&](const char* name) { return is_file_in_work(path, name); }))
      remove_with_a_line(path);
  }
  for (const fs::path& path : list_folder(checkpoints_folder())) {
    if (is_checkpoint_in_work(path)) remove_with_a_line(path);
  }
}

}  // namespace lotformer
