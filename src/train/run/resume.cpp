// SPDX-License-Identifier: MIT
#include "resume.h"

#include <algorithm>
#include <array>

#include "lotformer/config/load.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

// What may differ between the run that wrote a checkpoint and the one that continues it: none of it changes a
// weight.
constexpr std::array<std::string_view, 13> kFreeKeys = {
    "/eval/batch_size", "/train/eval_every",   "/train/checkpoint_every",
    "/train/keep",      "/train/log_every",    "/train/threads",
    "/data/root",       "/data/verify_labels", "/data/generate_missing",
    "/data/prefetch",   "/data/on_device",     "/train/plateau_steps",
    "/protocol_label"};

/// The same bytes in another run folder, whole or absent.
void copy_checkpoint(const Checkpoint& checkpoint, const RunFolder& run) {
  const fs::path target = run.checkpoint_folder(checkpoint.step);
  const fs::path temporary = target.parent_path() / concat(kTemporaryPrefix, "adopted-", checkpoint.step);
  lotformer::create_directories(temporary);
  for (const char* name : {kModelFile, kOptimizerFile, kStateFile, kManifestFile}) {
    FileWriter out(temporary / name);
    out.write(read_file(checkpoint.path / name, ErrorKind::checkpoint));
    out.commit();
  }
  sync_directory(temporary);
  fs::rename(temporary, target);
  sync_directory(target.parent_path());
}

/// A new folder continues another run: it needs that run's log up to the checkpoint, its best checkpoint (a
/// final score may want it) and the start itself (it may stay the best).
void adopt(const RunFolder& run, const Checkpoint& start) {
  const std::string where = (start.path / kStateFile).string();
  const fs::path folder = fs::absolute(start.path).parent_path();
  const RunFolder origin(folder.parent_path());
  const auto offset = json_get<int64_t>(start.state, "metrics_offset", where, ErrorKind::checkpoint);
  if (!fs::exists(origin.metrics_file())) {
    throw Error(ErrorKind::checkpoint,
                concat("--resume: ", origin.metrics_file().string(),
                       " is missing; a checkpoint is continued from inside its run folder"));
  }
  std::string metrics = read_file(origin.metrics_file(), ErrorKind::checkpoint);
  if (static_cast<int64_t>(metrics.size()) < offset) {
    throw Error(ErrorKind::checkpoint,
                origin.metrics_file().string() + ": is shorter than when the checkpoint was made");
  }
  metrics.resize(static_cast<size_t>(offset));
  write_atomic(run.metrics_file(), metrics);
  const auto best = best_step(start.state, where);
  if (best && *best != start.step) copy_checkpoint(origin.checkpoint(*best), run);
  copy_checkpoint(start, run);
}

}  // namespace

void check_resume(const RunFolder& run, const std::string& resume) {
  if (resume == "auto") return;
  if (resume == "must") {
    if (!run.steps().empty()) return;
    throw Error(ErrorKind::checkpoint,
                concat("--resume must: no checkpoint in ", run.checkpoints_folder().string()));
  }
  if (resume != "never" && !fs::exists(resume)) {
    throw Error(ErrorKind::usage,
                concat("--resume: ", quoted(resume, 200), " is none of auto, must, never, and no such path"));
  }
  if (run.empty()) return;
  throw Error(ErrorKind::usage,
              concat(resume == "never" ? "--resume never: " : "--resume PATH begins a new run: ",
                     run.root().string(), " is not empty; take another --run-dir, or --resume auto"));
}

std::optional<Checkpoint> find_start(const RunFolder& run, const std::string& resume) {
  if (resume == "never") return std::nullopt;
  if (resume == "auto" || resume == "must") return run.latest_whole();
  const bool is_checkpoint =
      fs::exists(fs::path(resume) / kManifestFile) || fs::exists(fs::path(resume) / kStateFile);
  Checkpoint start =
      resolve_checkpoint(resume, is_checkpoint ? WhichCheckpoint::best_or_last : WhichCheckpoint::last);
  adopt(run, start);
  return start;
}

std::vector<std::string> conflicting_keys(const Json& recorded, const Json& wanted) {
  const Json a = recorded.flatten(), b = wanted.flatten();
  std::vector<std::string> keys;
  const auto note = [&](const std::string& key) {
    if (std::find(kFreeKeys.begin(), kFreeKeys.end(), key) != kFreeKeys.end()) return;
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  };
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key) || b[key] != value) note(key);
  }
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) note(key);
  }
  return keys;
}

void require_same_run(const Checkpoint& checkpoint, const Config& config) {
  const std::string where = (checkpoint.path / kStateFile).string();
  const Json recorded = json_get<Json>(checkpoint.state, "config", where, ErrorKind::checkpoint),
             wanted = config_to_json(config);
  const auto keys = conflicting_keys(recorded, wanted);
  if (keys.empty()) return;
  const Json a = recorded.flatten(), b = wanted.flatten();
  const auto show = [](const Json& flat, const std::string& key) {
    return flat.contains(key) ? flat[key].dump() : std::string("absent");
  };
  std::vector<std::string> parts;
  for (const std::string& key : keys) {
    std::string dotted = key.substr(1);
    std::replace(dotted.begin(), dotted.end(), '/', '.');
    parts.push_back(concat(dotted, " was ", show(a, key), ", is ", show(b, key)));
  }
  throw Error(ErrorKind::usage,
              concat(checkpoint.path.string(), " belongs to another configuration: ", join(parts, "; "),
                     ". Take another --run-dir, or the recorded values"));
}

}  // namespace lotformer
