// SPDX-License-Identifier: MIT
// run.json, the first file of a run folder: it says that the folder is a run of ours, and which one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer {

/// Of a run that goes on from another run's checkpoint (--resume PATH): it is only begun when a checkpoint of
/// that step or a later one lies in its own folder.
struct RunOrigin {
  /// What the user named, canonical.
  std::string path;
  int64_t step = 0;
};

struct RunMark {
  /// config_to_json of the first start.
  Json config = Json::object();
  /// Of the splits by name; empty where a checkpoint did not record them.
  Json fingerprints = Json::object();
  std::optional<RunOrigin> origin = std::nullopt;
  /// Of a run that began with the weights of another (--init-from).
  std::optional<RunOrigin> init = std::nullopt;
  /// train.steps before each extension (--extend).
  std::vector<int64_t> extended_from = {};
  /// describe_run() of the first start, for those who look at the run before it has results; may be empty.
  Json about = Json::object();
};

/// Replaces the file in one step. Error(disk).
void write_mark(const std::filesystem::path& file, const RunMark& mark);

/// Nothing when there is no such file. Error(usage) naming it when it is no mark of ours, Error(disk) when it
/// cannot be read now.
std::optional<RunMark> read_mark(const std::filesystem::path& file);

/// Error(data) naming the first split whose fingerprint is not the recorded one; a split that is not recorded
/// passes. `whose` begins the message: the path of the run or checkpoint.
void require_same_data(const std::string& whose, const Json& recorded, const Json& present);

}  // namespace lotformer
