// SPDX-License-Identifier: MIT
// From what a user names (a run, a checkpoint) to one verified checkpoint.
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "run_folder.h"

namespace lotformer {
namespace fs = std::filesystem;
namespace {

constexpr ErrorKind kKind = ErrorKind::checkpoint;

bool looks_like_checkpoint(const fs::path& path) {
  std::error_code code;
  for (const char* file : {kManifestFile, kModelFile, kStateFile}) {
    if (fs::exists(path / file, code)) return true;
  }
  return false;
}

/// The checkpoint folder that a user names; nothing where it is a run, or neither.
std::optional<fs::path> named_checkpoint(const fs::path& path, WhichCheckpoint which) {
  std::error_code code;
  if (!fs::exists(path, code)) throw Error(kKind, path.string() + ": no such run or checkpoint folder");
  if (!fs::is_directory(path, code))
    throw Error(kKind, path.string() + ": is not a folder; name a run or a checkpoint folder");
  if (!looks_like_checkpoint(path)) return std::nullopt;
  if (which != WhichCheckpoint::best_or_last) {
    throw Error(ErrorKind::usage,
                path.string() + ": is one checkpoint; 'best' or 'last' can be asked of a run folder only");
  }
  // "." and a trailing slash hide the folder's name and with it the run that it belongs to.
  const fs::path name = path.filename();
  const bool hidden = name.empty() || name == "." || name == "..";
  return hidden ? fs::canonical(path) : path;
}

/// No manifest, and not among a run's checkpoints.
bool holds_weights_alone(const fs::path& folder) {
  const RunFolder run(fs::canonical(folder).parent_path().parent_path());
  return !fs::exists(folder / kManifestFile) && fs::exists(folder / kModelFile) &&
         fs::exists(folder / kStateFile) && fs::canonical(folder).parent_path() != run.checkpoints_folder();
}

Checkpoint last_of(const RunFolder& run) {
  std::optional<Checkpoint> last = run.latest_whole();
  if (!last) throw Error(kKind, run.checkpoints_folder().string() + ": holds no checkpoint yet");
  return std::move(*last);
}

Checkpoint best_of(const RunFolder& run, bool or_last) {
  Checkpoint last = last_of(run);
  const std::optional<int64_t> step = best_step(last.state, (last.path / kStateFile).string());
  if (!step) {
    if (!or_last) {
      throw Error(kKind, concat(run.root().string(), ": no evaluation has chosen a best checkpoint by step ",
                                last.step, "; ask for the last"));
    }
    log::info(concat(run.root().string(), ": no best checkpoint yet, using the last (step ", last.step, ")"));
    return last;
  }
  if (*step == last.step) return last;
  try {
    return run.checkpoint(*step);
  } catch (const Error& error) {
    if (!or_last || error.kind() != kKind) throw;
    log::warning(concat("the best checkpoint cannot be used: ", error.what(), "; using the last (step ",
                        last.step, ")"));
    return last;
  }
}

}  // namespace

WhichCheckpoint parse_which_checkpoint(const std::string& text) {
  if (text.empty()) return WhichCheckpoint::best_or_last;
  if (text == "best") return WhichCheckpoint::best;
  if (text == "last") return WhichCheckpoint::last;
  throw Error(ErrorKind::usage, concat("checkpoint ", lotformer::quoted(text), ": 'best' or 'last' wanted"));
}

Checkpoint resolve_checkpoint(const fs::path& path, WhichCheckpoint which) {
  if (const auto folder = named_checkpoint(path, which)) return read_checkpoint(*folder);
  const RunFolder run(path);
  std::error_code code;
  if (!fs::is_directory(run.checkpoints_folder(), code)) {
    throw Error(kKind, path.string() +
                           ": is neither a run (no checkpoints folder) nor a checkpoint (no manifest.json)");
  }
  return which == WhichCheckpoint::last ? last_of(run) : best_of(run, which == WhichCheckpoint::best_or_last);
}

Checkpoint resolve_weights(const fs::path& path, WhichCheckpoint which) {
  const auto folder = named_checkpoint(path, which);
  if (!folder || !holds_weights_alone(*folder)) return resolve_checkpoint(path, which);
  Checkpoint found = read_weights_alone(*folder);
  log::warning(concat(path.string(), ": has no ", kManifestFile, ", so sizes and digests of ", kModelFile,
                      " and ", kStateFile, " were not checked"));
  return found;
}

}  // namespace lotformer
