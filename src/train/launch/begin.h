// SPDX-License-Identifier: MIT
// How a training run begins: where it stands, whose folder it is, what all its processes agree in. A function
// with a world, or a session that has one, is collective.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <optional>
#include <string>

#include "lotformer/config/config.h"
#include "lotformer/core/file_lock.h"
#include "lotformer/data/dataset.h"
#include "lotformer/train/launch.h"
#include "train/inspect/profiler.h"
#include "train/run/resume.h"
#include "train/run/run_folder.h"
#include "train/session.h"

namespace lotformer {

std::filesystem::path default_run_dir(const Config& config);

/// Logs program, device, task and references; `run_dir` empty: none.
void announce(const Session& session, const std::filesystem::path& run_dir);

/// What the command line and the configuration say.
struct Plan {
  std::optional<ProfileRequest> profile;
  Config config;
  c10::Device device{c10::kCPU};
};
/// Not collective. A lone process may be started anew in here (wait_passively).
Plan make_plan(const TrainRequest& request, const Kinds& kinds);

/// Where the run stands. The first process looks first, because it alone may put the folder in order and
/// locks it.
RunStart find_start_together(const TrainRequest& request, const RunFolder& run, const Config& config,
                             std::optional<FileLock>& lock);

/// Not collective. The weights that a run begins with, where it begins. Error(usage) when they are no longer
/// those that it was begun with.
std::optional<Checkpoint> initial_weights(RunStart& start);

Session open_session_together(const TrainRequest& request, const Plan& plan);

struct Splits {
  data::Dataset train, val, test;
  Json fingerprints() const {
    return {{"train", train.fingerprint()}, {"val", val.fingerprint()}, {"test", test.fingerprint()}};
  }
};
/// Notes their fingerprints in the session.
Splits open_splits_together(Session& session);

/// The folder becomes this run's, or stays it. `lock`: of a folder that is ours already. Error(usage) when
/// some process does not see it.
void claim_together(const RunFolder& run, RunStart& start, const Session& session,
                    const std::string& config_text, std::optional<FileLock>& lock);

}  // namespace lotformer
