// SPDX-License-Identifier: MIT
// lotformer-train behind its command line: run folder, resume, training, final scores.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lotformer/config/load.h"
#include "lotformer/train/world.h"

namespace lotformer {

struct TrainRequest {
  ConfigRequest config;
  std::string device = "auto";
  /// Empty: runs/TASK-ATTENTION-sSEED-HASH.
  std::filesystem::path run_dir;
  /// Auto | must | never | path of a checkpoint or run.
  std::string resume = "auto";
  /// A checkpoint or run whose weights a new run begins with, as far as names and shapes agree; wants a
  /// run_dir. Optimiser, schedule and order of samples begin anew. Empty: none.
  std::string init_from;
  /// The run in the folder goes on to a larger train.steps. From its last step on the learning rate is that
  /// of a run of the new length.
  bool extend = false;
  /// "10..20": a trace of these steps in RUN/profile, without recorded steps. Empty: none.
  std::string profile;
  bool dry_run = false;
  /// Who trains: all of them with the same request.
  std::shared_ptr<const World> world = lone_world();
};

/// Trains (or resumes, or says that it is finished) and returns the results, the content of results.json;
/// null in all processes but the first. A lone one may start the program anew first (wait_passively).
Json launch_training(const TrainRequest& request);

/// Builds everything, one batch forward and backward, logs parameters and memory; writes nothing.
Json dry_run(const TrainRequest& request);

/// results.json for people: the scores with their references. Throws nlohmann::json::exception when a member
/// is missing.
std::string summarise_results(const Json& results);

}  // namespace lotformer
