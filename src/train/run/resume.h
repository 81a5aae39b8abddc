// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lotformer/config/config.h"
#include "run_folder.h"

namespace lotformer {

/// Refuses what find_start could not do, before anything is written: Error(usage); for `must` without a
/// checkpoint Error(checkpoint).
void check_resume(const RunFolder& run, const std::string& resume);

/// After check_resume: where a run begins: a checkpoint, or nothing (from the initial weights).
///   auto  : the newest whole checkpoint of the folder, if there is one
///   must  : the same, Error(checkpoint) when there is none
///   never : Error(usage) unless the folder is empty
///   PATH  : that checkpoint (or the last of that run); the folder must be empty, and takes over the metrics
///   up to there and the best checkpoint
std::optional<Checkpoint> find_start(const RunFolder& run, const std::string& resume);

/// Keys of the resolved configurations whose change makes another run. Bookkeeping may change on a resume;
/// which examples are scored may not, because the best checkpoint was chosen on them.
std::vector<std::string> conflicting_keys(const Json& recorded, const Json& wanted);

/// Error(usage) naming every differing key with both values, when `checkpoint` was made with another
/// configuration.
void require_same_run(const Checkpoint& checkpoint, const Config& config);

}  // namespace lotformer
