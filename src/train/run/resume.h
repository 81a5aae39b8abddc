// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "lotformer/config/config.h"
#include "run_folder.h"

namespace lotformer {

/// What a new run takes over from the one that its first checkpoint belongs to.
struct Adoption {
  /// metrics.jsonl up to the checkpoint.
  std::string metrics;
  /// A final score may want it. Nothing where it is the checkpoint itself, or lost.
  std::optional<Checkpoint> best = std::nullopt;
};

/// Where a run begins. Nothing has been written yet.
struct RunStart {
  /// The folder is a run of this configuration already.
  bool ours = false;
  /// Of that run; else empty until the data are known.
  RunMark mark = {};
  /// Nothing: from the initial weights.
  std::optional<Checkpoint> checkpoint = std::nullopt;
  /// The checkpoint lies in another run.
  std::optional<Adoption> adoption = std::nullopt;
  /// train.steps before: the run is made longer.
  std::optional<int64_t> extended_from = std::nullopt;
};

/// What `resume` means for the folder, refused before anything is written.
///   auto  : the newest whole checkpoint of the folder, if there is one
///   must  : the same, Error(checkpoint) when there is none
///   never : Error(usage) unless the folder is vacant
///   PATH  : that checkpoint (or the last of that run), for a vacant folder, or for the run that this command
///           has begun before, which goes on from its own checkpoints
/// A run that was begun from another's checkpoint and killed while it took it over takes it over again.
/// Error(usage) naming every differing key with both values when folder or checkpoint belong to another
/// experiment (experiment_differences).
/// `extend`: the run of the folder, whose train.steps may be smaller than those of `config`; Error(usage)
/// where there is none, or where it is longer.
RunStart find_start(const RunFolder& run, const std::string& resume, const Config& config, bool extend);

/// Copies log and best checkpoint, and last the checkpoint itself, into the folder. Begun again it does the
/// same.
void adopt(const RunFolder& run, const Checkpoint& start, const Adoption& adoption);

}  // namespace lotformer
