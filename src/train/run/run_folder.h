// SPDX-License-Identifier: MIT
// One training run on disk:
//   RUN/run.json  config.yaml  metrics.jsonl  timings.jsonl  results.json  .lock
//   RUN/checkpoints/step-00001000/  (see checkpoint.h)
// run.json comes first: without it a folder that holds anything is somebody else's, and nothing in it is
// touched. There is no pointer file: the last checkpoint is the one of the largest step that is whole, the
// best one is named by the state of the last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/core/json.h"
#include "run_mark.h"

namespace lotformer {

/// Appends lines of JSON; each reaches the operating system at once. The trainer records offset() in the
/// checkpoint and truncates to it on resume, so that a killed run continues the file where the checkpoint
/// stands.
class AppendLog {
 public:
  /// Opens or creates. Error(disk).
  explicit AppendLog(const std::filesystem::path& path);
  ~AppendLog();
  AppendLog(const AppendLog&) = delete;
  AppendLog& operator=(const AppendLog&) = delete;
  /// Cuts the file at `offset` bytes. Error(checkpoint) naming the file when it is shorter or no line ends
  /// there.
  void truncate_to(int64_t offset);
  /// One line; non-finite numbers become null. Error(disk).
  void line(const Json& value);
  int64_t offset() const { return offset_; }
  /// fsync: to be called before the checkpoint that records offset() is written.
  void sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t offset_ = 0;
};

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config_file() const { return root_ / "config.yaml"; }
  std::filesystem::path metrics_file() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path timings_file() const { return root_ / "timings.jsonl"; }
  std::filesystem::path results_file() const { return root_ / "results.json"; }
  std::filesystem::path checkpoints_folder() const { return root_ / "checkpoints"; }
  std::filesystem::path checkpoint_folder(int64_t step) const;

  std::filesystem::path mark_file() const { return root_ / "run.json"; }

  enum class State {
    /// Absent, empty, or holding no more than starts leave that came to nothing: no line was logged.
    vacant,
    /// A run of ours: it bears our mark, or (from builds before there was one) a whole checkpoint.
    ours,
  };
  /// Changes nothing. Error(usage) naming what is in the way when it is neither, or when one of our names is
  /// a link, which would be written through.
  State state() const;

  /// Of a folder that is ours: run.json, or what the newest whole checkpoint says.
  RunMark mark() const;

  /// Locks a folder that is ours (RUN/.lock). Error(usage) naming it when another process holds the lock.
  [[nodiscard]] FileLock lock() const;

  /// Error(usage) inside a folder of data, whose files a run would become: `data_root`, or one that a data
  /// set has marked. To be called before data are opened, which may leave a cache.
  void refuse_data_folder(const std::filesystem::path& data_root) const;

  /// Makes a vacant folder ours: folders, lock, mark. After an Error nothing is left of what it made.
  /// Error(usage) when another process was faster.
  [[nodiscard]] FileLock begin(const RunMark& mark) const;

  /// For the holder of the lock, before anything else: a checkpoint that was being replaced where folders
  /// cannot change places (.tmp-step-N-PID-old) gets its name back if nothing bears it. Logs each.
  void restore_displaced() const;

  /// For the holder of the lock: removes what killed processes left, by the names that we give to files in
  /// work; other names stay.
  void remove_leftovers() const;

  /// Steps that have a checkpoint by name, newest first; whether it is whole is not looked at.
  std::vector<int64_t> steps() const;

  /// The newest whole checkpoint. Each damaged one on the way is a logged warning that names what is wrong.
  /// Nothing when there never was one; Error(checkpoint) when all are damaged.
  std::optional<Checkpoint> latest_whole() const;

  /// The checkpoint of that step. Error(checkpoint) when missing, damaged or of another step.
  Checkpoint checkpoint(int64_t step) const;

  /// After a resume at `step`: renames checkpoints of later steps (damaged ones that were passed over, or
  /// another future) to discarded-step-..., so that neither a resume nor prune() takes them for this run's.
  /// Logs each.
  void set_aside_newer_than(int64_t step) const;

  /// Deletes all but the newest `keep` (at least one), `best`, and whatever the state of a kept one names as
  /// its best. Each is renamed to a temporary name first: a kill leaves nothing half under a valid name.
  void prune(int64_t keep, std::optional<int64_t> best) const;

 private:
  std::filesystem::path root_;
};

/// Which checkpoint of a run a reader means.
enum class WhichCheckpoint {
  /// The best, else the last (with a logged reason).
  best_or_last,
  /// The best or an error.
  best,
  last,
};

/// `path` is a checkpoint folder (then `which` must not ask for anything: best_or_last) or a run folder.
/// Reads and verifies it. Error(checkpoint) when nothing is there, naming the path and what was looked for.
Checkpoint resolve_checkpoint(const std::filesystem::path& path, WhichCheckpoint which);
/// The same for who wants the weights and no more: a folder with model.safetensors and state.json, but
/// without a manifest, will do too, and a warning says that nothing was verified. Not in a run's folder of
/// checkpoints, where every whole checkpoint has a manifest; there it is damage.
Checkpoint resolve_weights(const std::filesystem::path& path, WhichCheckpoint which);
/// "best" | "last" | "" (best_or_last). Error(usage) for anything else.
WhichCheckpoint parse_which_checkpoint(const std::string& text);

}  // namespace lotformer
